"""``perezvon serve`` and ``perezvon work`` as processes, while their database starts and stops."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infrastructure.operations.subscribers import HANDLERS
from infrastructure.postgres.connections import service_dsn
from tests.chaos.processes import answers
from tests.support.databases import DatabaseServer
from tests.support.relay import Relay
from tests.support.shell import Shell
from tests.support.waiting import eventually

pytest_plugins = ["tests.support.shells"]

Start = Callable[..., "Running"]


class Running:
    """A running process and its log."""

    def __init__(self, log: Path, *words: str, **environment: str) -> None:
        self._log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "interfaces.cli", *words],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stderr=errors,
            )

    def logs(self, text: str) -> None:
        """Wait until the log holds the text."""
        eventually(lambda: text in self._log.read_text() or self.process.poll() is not None, timeout=60)
        assert text in self._log.read_text()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Yield a function that starts a process; end all of them after the test."""
    running: list[Running] = []

    def started(*words: str, **environment: str) -> Running:
        running.append(Running(tmp_path / f"{len(running)}.log", *words, **environment))
        return running[-1]

    yield started
    for one in running:
        with one.process:
            one.end()


@pytest.fixture
def relay(database: str) -> Iterator[Relay]:
    """Yield a relay to the database. It is closed at first."""
    created = Relay(database)
    yield created
    created.shut()


@pytest.fixture
def port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_the_api_waits_for_a_database_that_is_still_starting(start: Start, relay: Relay, port: int) -> None:
    serving = start("serve", "--port", str(port), PEREZVON_DATABASE_URL=service_dsn(relay.dsn))
    serving.logs("database unavailable, retrying")
    with pytest.raises(httpx.ConnectError):  # at once: a client must not wait for this database too
        httpx.get(f"http://127.0.0.1:{port}/health/live", trust_env=False)
    relay.open()
    eventually(lambda: _get(f"http://127.0.0.1:{port}/health/ready"), timeout=60)
    assert serving.end() == 0


def test_the_worker_waits_for_its_database_and_comes_back_to_it(
    start: Start, relay: Relay, shell: Shell, database: str
) -> None:
    working = start("work", PEREZVON_DATABASE_URL=service_dsn(relay.dsn))
    working.logs("database unavailable, retrying")
    relay.open()
    working.logs("worker ready")
    shell.json("organization", "create", "Acme")
    eventually(lambda: _views_are_at(database, 2), timeout=60)
    relay.shut()
    shell.json("organization", "create", "Bravo")
    relay.open()
    eventually(lambda: _views_are_at(database, 4), timeout=60)
    assert working.end() == 0
    working.logs("worker drained")


def test_the_api_starts_with_few_connections_and_says_how_many_it_needs(
    start: Start, database: str, server: DatabaseServer, port: int
) -> None:
    name = sql.Identifier(str(conninfo_to_dict(database)["dbname"]))
    server.admin.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 5").format(name))
    serving = start("serve", "--port", str(port), PEREZVON_DATABASE_URL=service_dsn(database))
    serving.logs("too few connections left")
    eventually(lambda: answers(f"http://127.0.0.1:{port}/health/live"), timeout=60)


def test_who_waits_in_vain_says_so_and_ends(bare_shell: Shell, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("PEREZVON_DATABASE_URL", f"host=127.0.0.1 port={port}")
    monkeypatch.setattr("interfaces.bootstrap.database._PATIENCE_S", 0)
    code, _, err = bare_shell.run("work")
    assert code == 1
    assert err.startswith("The database cannot be reached: ")


def test_the_worker_shows_its_metrics_where_it_is_told_to(start: Start, database: str, port: int) -> None:
    start("work", PEREZVON_DATABASE_URL=service_dsn(database), PEREZVON_METRICS_ADDRESS=f"127.0.0.1:{port}")
    shown = 'perezvon_handler_lag_events{handler="task_list"}'
    eventually(lambda: shown in _get(f"http://127.0.0.1:{port}/metrics"), timeout=60)


def test_the_api_shows_its_metrics_at_an_address_of_their_own(start: Start, database: str, port: int) -> None:
    place = f"127.0.0.1:{port}"
    serving = start("serve", "--port", "0", PEREZVON_DATABASE_URL=service_dsn(database), PEREZVON_METRICS_ADDRESS=place)
    shown = 'perezvon_share_places{resource="connections",state="free"} 1000.0'
    eventually(lambda: shown in _get(f"http://{place}/metrics"), timeout=60)
    assert _get(f"http://{place}/") == ""
    assert serving.end() == 0


@pytest.mark.parametrize("words", [("serve", "--port", "0"), ("work",)])
def test_a_metrics_address_in_use_is_a_sentence(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setenv("PEREZVON_METRICS_ADDRESS", address)
        code, _, err = shell.run(*words)
    assert code == 1
    assert err.startswith(f"PEREZVON_METRICS_ADDRESS: cannot listen on {address}: ")


@pytest.mark.parametrize("words", [("serve", "--port", "0"), ("work",)])
def test_an_attached_process_ends_when_its_parent_is_gone(start: Start, database: str, words: tuple[str, ...]) -> None:
    attached = start(*words, "--attached", PEREZVON_DATABASE_URL=service_dsn(database))
    assert attached.process.stdin is not None
    attached.process.stdin.close()
    assert attached.process.wait(timeout=60) in {0, 143}


def _get(url: str) -> str:
    try:
        response = httpx.get(url, trust_env=False)
    except httpx.HTTPError:
        return ""
    return response.text if response.is_success else ""


def _views_are_at(dsn: str, position: int) -> bool:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT position FROM perezvon_1.checkpoints").fetchall()
    return rows == [(position,)] * len(HANDLERS)
