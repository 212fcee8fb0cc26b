"""Silent, paused, locked and read-only databases: every request is answered, and the service recovers by itself."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infrastructure.postgres.connections import service_dsn
from interfaces.bootstrap.services import services
from tests.support.databases import DatabaseServer
from tests.support.office import Office, served
from tests.support.relay import Relay
from tests.support.shell import Shell
from tests.support.waiting import eventually_async
from tests.support.worker_parts import project

pytest_plugins = ["tests.support.shells"]

WITHOUT_END_S = 60  # an answer that takes longer is none: each must come within five seconds


@pytest.fixture
def relay(database: str) -> Relay:
    """Return an open relay to the database."""
    found = Relay(database)
    found.open()
    return found


@asynccontextmanager
async def office_at(dsn: str) -> AsyncGenerator[Office]:
    """Serve an organisation over the database, with a worker for its views."""
    stop = asyncio.Event()
    worker = asyncio.create_task(project(service_dsn(dsn), stop))
    try:
        async with services(service_dsn(dsn)) as opened, served(opened, dsn) as service:
            yield await service.office()
    finally:
        stop.set()
        async with asyncio.timeout(WITHOUT_END_S):
            await worker


async def responses(office: Office, task_id: str) -> dict[str, httpx.Response]:
    """Send one request of each kind at the same time."""
    calls = {
        "file": office.post_task(),
        "get": office.get(f"/api/tasks/{task_id}"),
        "list": office.get("/api/tasks"),
        "change": office.set_status(task_id, "in_progress"),
        "organization": office.get("/v1/organization", office.admin),
        "live": office.client.get("/health/live"),
        "ready": office.client.get("/health/ready"),
    }
    async with asyncio.timeout(WITHOUT_END_S):
        return dict(zip(calls, await asyncio.gather(*calls.values()), strict=True))


async def everything_works(office: Office) -> bool:
    """Return whether tasks are filed and listed."""
    async with asyncio.timeout(WITHOUT_END_S):
        filed = await office.post_task()
        return filed.status_code == 200 and filed.json()["id"] in [
            task["id"] for task in (await office.get("/api/tasks")).json()["items"]
        ]


async def recovers(office: Office) -> None:
    await eventually_async(lambda: everything_works(office), timeout=WITHOUT_END_S)


@pytest.mark.anyio
async def test_connections_that_carry_no_more_data_are_replaced(relay: Relay) -> None:
    async with office_at(relay.dsn) as office:
        task = await office.file_task()
        assert await everything_works(office)
        relay.silence()
        found = await responses(office, task["id"])
        assert {one.status_code for one in found.values()} <= {200, 503}
        assert found["live"].status_code == 200
        await recovers(office)
        relay.shut()


@pytest.mark.anyio
async def test_a_paused_server_is_answered_for_and_is_used_again(relay: Relay) -> None:
    async with office_at(relay.dsn) as office:
        task = await office.file_task()
        relay.silence(also_new=True)
        found = await responses(office, task["id"])
        assert {name: one.status_code for name, one in found.items() if name != "live"} == dict.fromkeys(
            ("file", "get", "list", "change", "organization", "ready"), 503
        )
        assert {one.headers["Retry-After"] for name, one in found.items() if name not in {"live", "ready"}} == {"1"}
        assert found["ready"].json()["reasons"] == ["database unavailable"]
        relay.shut()
        relay.open()
        await recovers(office)
        relay.shut()


@pytest.mark.anyio
@pytest.mark.parametrize("table", ["stored_events", "tokens", "task_list"])
async def test_a_lock_of_another_session_is_not_waited_for_without_an_end(database: str, table: str) -> None:
    async with office_at(database) as office:
        task = await office.file_task()
        async with await psycopg.AsyncConnection.connect(database) as other:
            await other.execute(f"LOCK TABLE perezvon_1.{table}".encode())
            found = await responses(office, task["id"])
            assert {one.status_code for one in found.values()} <= {200, 503}
            assert 503 in {one.status_code for one in found.values()}
            assert found["live"].status_code == 200
        await recovers(office)


@contextmanager
def read_only(server: DatabaseServer, database: str) -> Generator[None]:
    """Make all new sessions read-only, as on a standby, and end the present ones."""
    name = str(conninfo_to_dict(database)["dbname"])
    change = sql.SQL("ALTER DATABASE {} {} default_transaction_read_only {}")
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    server.admin.execute(change.format(sql.Identifier(name), sql.SQL("SET"), sql.SQL("= on")))
    server.admin.execute(end, (name,))
    yield
    server.admin.execute(change.format(sql.Identifier(name), sql.SQL("RESET"), sql.SQL("")))
    server.admin.execute(end, (name,))


@pytest.mark.anyio
async def test_a_read_only_database_refuses_changes_with_a_reason(server: DatabaseServer, database: str) -> None:
    async with office_at(database) as office:
        task = await office.file_task()
        with read_only(server, database):
            found = await responses(office, task["id"])
            for name in ("file", "change"):
                assert found[name].status_code == 503
                assert int(found[name].headers["Retry-After"]) > 1
            assert found["get"].status_code == 200
            assert found["ready"].status_code == 503
            assert "database read-only: connect to the primary" in found["ready"].json()["reasons"]
            change = await office.client.post("/v1/tokens", json={"role": "agent"}, headers=office.admin)
            assert (change.status_code, change.json()["code"]) == (503, "storage_needs_attention")
        await recovers(office)


def test_the_doctor_reports_a_read_only_database(server: DatabaseServer, database: str, shell: Shell) -> None:
    with read_only(server, database):
        found = shell.findings()
    assert found["writable"]["state"] == "fail"
    assert "target_session_attrs=read-write" in found["writable"]["advice"]
    assert found["database"]["state"] == "ok"
    assert shell.findings()["writable"]["state"] == "ok"
