"""The connections of a process: as many as documented."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infrastructure.postgres.connections import API_CONNECTIONS, WORKER_CONNECTIONS, Pool, service_dsn
from infrastructure.postgres.notifications import Listener
from infrastructure.postgres.probe import connections_left
from interfaces.bootstrap.services import services
from interfaces.bootstrap.worker import worker_parts
from interfaces.config.settings import Settings
from tests.support.databases import DatabaseServer

pytestmark = pytest.mark.anyio

OPERATIONS = Path(__file__).parents[3] / "docs/operations.md"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the pools and listeners that are created."""
    sizes: list[int] = []
    pool, listener = Pool.__init__, Listener.__init__

    def of_pool(self: Pool, *given: Any, size: int, **named: Any) -> None:
        sizes.append(size)
        pool(self, *given, size=size, **named)

    def of_listener(self: Listener, *given: Any, **named: Any) -> None:
        sizes.append(1)
        listener(self, *given, **named)

    monkeypatch.setattr(Pool, "__init__", of_pool)
    monkeypatch.setattr(Listener, "__init__", of_listener)
    return sizes


async def test_an_api_opens_as_many_as_documented(database: str, opened: list[int]) -> None:
    async with services(service_dsn(database)):
        assert sum(opened) == API_CONNECTIONS


async def test_a_worker_opens_as_many_as_documented(database: str, opened: list[int]) -> None:
    stop = asyncio.Event()
    stop.set()
    settings = Settings(gateway="simulated", simulator_address="/nowhere")
    async with worker_parts(service_dsn(database), settings, stop) as parts:
        await asyncio.gather(*parts.values())
    assert sum(opened) == WORKER_CONNECTIONS


def test_the_limit_of_the_database_counts(database: str, server: DatabaseServer) -> None:
    before = connections_left(service_dsn(database))
    name = sql.Identifier(str(conninfo_to_dict(database)["dbname"]))
    server.admin.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 5").format(name))
    assert before > connections_left(service_dsn(database)) == 4  # one asks
    with psycopg.connect(service_dsn(database)):
        assert connections_left(service_dsn(database)) == 3


def test_the_documentation_has_the_same_numbers() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert f"| `perezvon serve` | {API_CONNECTIONS} |" in text
    assert f"| `perezvon work` | {WORKER_CONNECTIONS} |" in text
