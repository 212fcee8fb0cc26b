"""Sessions: the same settings everywhere, no wait without an end, and databases that are refused."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from application.errors import StorageUnavailable
from application.ports.operations import UnsuitableDatabase
from infrastructure.postgres import progress, sessions
from infrastructure.postgres.service_connection import deadline
from infrastructure.postgres.sessions import BATCH, MAINTENANCE, REQUEST, open_blocking_connection, open_connection
from tests.support.databases import DatabaseServer
from tests.support.relay import Relay

pytestmark = pytest.mark.anyio

FOREIGN = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Almaty",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "repeatable read",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
    "search_path": "pg_temp",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "client_encoding": "WIN1251",
    "synchronous_commit": "off",
}
EXPECTED = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": "read committed",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "search_path": "public",
    "statement_timeout": "4s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "5s",
    "client_encoding": "UTF8",
    "synchronous_commit": "on",
}


@pytest.fixture
def foreign(database: str, server: DatabaseServer) -> str:
    """Return the address of a database with settings that are not ours."""
    name = sql.Identifier(str(conninfo_to_dict(database)["dbname"]))
    for setting, value in FOREIGN.items():
        server.admin.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, sql.Identifier(setting), sql.Literal(value))
        )
    return database


@pytest.fixture
def relay(database: str) -> Iterator[Relay]:
    """Yield an open relay to the database."""
    found = Relay(database)
    found.open()
    yield found
    found.shut()


async def settings_of(dsn: str) -> dict[str, str]:
    async with open_connection(dsn, REQUEST, "test") as connection:
        return {
            name: value
            for name in EXPECTED
            for (value,) in await (await connection.execute(f"SHOW {name}".encode())).fetchall()
        }


async def test_settings_of_the_database_have_no_effect(foreign: str) -> None:
    assert await settings_of(foreign) == EXPECTED
    with open_blocking_connection(foreign, REQUEST, "test") as connection:
        found = {name: row[0] for name in EXPECTED if (row := connection.execute(f"SHOW {name}".encode()).fetchone())}
        assert found == EXPECTED
        assert connection.execute("SELECT 'Ә 😀'").fetchone() == ("Ә 😀",)


async def test_an_idle_session_timeout_of_the_database_ends_no_session(database: str, server: DatabaseServer) -> None:
    set_in_database(server, database, "idle_session_timeout")
    for _ in range(20):
        async with open_connection(database, REQUEST, "test") as connection:
            assert await (await connection.execute("SHOW idle_session_timeout")).fetchone() == ("0",)
        with open_blocking_connection(database, REQUEST, "test") as connection:
            assert connection.execute("SHOW idle_session_timeout").fetchone() == ("0",)


async def test_a_transaction_timeout_of_the_database_ends_no_session(database: str, server: DatabaseServer) -> None:
    if server.admin.info.server_version < 170000:
        pytest.skip("PostgreSQL 17 has introduced it")
    set_in_database(server, database, "transaction_timeout")
    found = set[str]()
    for _ in range(20):  # a busy machine may need a millisecond to reach the statement that sets ours
        with suppress(StorageUnavailable):
            async with open_connection(database, REQUEST, "test") as connection:
                found |= {row[0] for row in await (await connection.execute("SHOW transaction_timeout")).fetchall()}
    assert found == {"0"}


def set_in_database(server: DatabaseServer, database: str, setting: str) -> None:
    """Set a timeout to its smallest value."""
    name = sql.Identifier(str(conninfo_to_dict(database)["dbname"]))
    server.admin.execute(sql.SQL("ALTER DATABASE {} SET {} = 1").format(name, sql.Identifier(setting)))


async def test_variables_of_libpq_have_no_effect(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {
        "PGOPTIONS": "-c no_such_setting=1",
        "PGSERVICE": "nowhere",
        "PGHOSTADDR": "192.0.2.1",
        "PGTARGETSESSIONATTRS": "standby",
        "PGCLIENTENCODING": "WIN1251",
        "PGDATESTYLE": "SQL, DMY",
        "PGTZ": "Asia/Almaty",
        "PGAPPNAME": "another",
        "PGCONNECT_TIMEOUT": "1000",
    }.items():
        monkeypatch.setenv(variable, value)
    assert await settings_of(database) == EXPECTED
    assert "PGSERVICE" not in os.environ


async def test_read_only_is_left_as_it_is(database: str, server: DatabaseServer) -> None:
    name = sql.Identifier(str(conninfo_to_dict(database)["dbname"]))
    server.admin.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    async with open_connection(database, REQUEST, "test") as connection:
        assert await (await connection.execute("SHOW transaction_read_only")).fetchone() == ("on",)


async def test_times_are_read_as_utc(foreign: str) -> None:
    async with open_connection(foreign, REQUEST, "test") as connection:
        row = await (await connection.execute("SELECT '2026-03-04 05:06:07+06'::timestamptz")).fetchone()
        assert row
        assert row[0].isoformat() == "2026-03-03T23:06:07+00:00"


async def test_the_purpose_decides_what_the_server_bounds(database: str) -> None:
    for purpose, statement, lock in ((BATCH, "28s", "10s"), (MAINTENANCE, "0", "1min")):
        async with open_connection(database, purpose, "test") as connection:
            assert await (await connection.execute("SHOW statement_timeout")).fetchone() == (statement,)
            assert await (await connection.execute("SHOW lock_timeout")).fetchone() == (lock,)


def test_a_database_with_another_encoding_is_refused(server: DatabaseServer) -> None:
    name = f"perezvon_t{os.getpid()}_latin"
    server.admin.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0".encode())
    try:
        with (
            pytest.raises(UnsuitableDatabase, match="encoding of the database is LATIN1; it must be UTF8"),
            open_blocking_connection(make_conninfo(server.address, dbname=name), REQUEST, "test"),
        ):
            pass
    finally:
        server.drop(name)


async def test_a_pooler_is_refused_before_anything_is_set(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A pooler sends a process id of its own.
    monkeypatch.setattr("psycopg.ConnectionInfo.backend_pid", property(lambda _: 1))
    with pytest.raises(UnsuitableDatabase, match="PgBouncer"):
        async with open_connection(database, REQUEST, "test"):
            pass
    with pytest.raises(UnsuitableDatabase, match="PgBouncer"), open_blocking_connection(database, REQUEST, "test"):
        pass


def test_the_session_of_a_pooler_is_left_as_it_is(
    database: str, server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that nothing is set for other clients of the pooler, whose session it is."""
    foreign = {"DateStyle": "SQL, DMY", "lock_timeout": "7s"}
    if server.admin.info.server_version >= 170000:
        foreign["transaction_timeout"] = "8s"
    with psycopg.connect(database, autocommit=True) as connection:
        for name, value in foreign.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        monkeypatch.setattr("psycopg.ConnectionInfo.backend_pid", property(lambda _: 1))
        connection.execute(sessions._settings_of(connection, REQUEST))
        assert {
            name: (connection.execute(f"SHOW {name}".encode()).fetchone() or ("",))[0] for name in foreign
        } == foreign


async def test_a_pooler_that_accepts_no_settings_is_refused() -> None:
    # PgBouncer 1.18 sends this error unless it is configured to ignore ``options``.
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        fields = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
        writer.write(b"E" + (4 + len(fields)).to_bytes(4, "big") + fields)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UnsuitableDatabase, match="PgBouncer"):
            async with open_connection(f"host=127.0.0.1 port={port} sslmode=disable", REQUEST, "test"):
                pass


async def test_a_silent_server_is_left_at_the_deadline(relay: Relay) -> None:
    async with open_connection(relay.dsn, REQUEST, "test") as connection:
        relay.silence()
        with pytest.raises(StorageUnavailable, match=r"did not respond within 0\.2 s"), deadline(connection, 0.2):
            await connection.execute("SELECT 1")


async def test_a_cancelled_query_does_not_wait_for_a_silent_server(relay: Relay) -> None:
    async with open_connection(relay.dsn, REQUEST, "test") as connection:
        relay.silence()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.execute("SELECT 1")
        assert connection.is_aborted


def test_a_blocking_connection_has_a_deadline_too(relay: Relay) -> None:
    def ask() -> None:
        with open_blocking_connection(relay.dsn, replace(REQUEST, deadline_s=0.2), "test") as connection:
            relay.silence()
            connection.execute("SELECT 1")

    with pytest.raises(StorageUnavailable, match=r"The database did not respond within 0\.2 s"):
        ask()


async def test_maintenance_reports_that_it_works(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_PROGRESS_S", 0.01)
    async with open_connection(database, MAINTENANCE, "rebuild of a view") as connection:
        await connection.execute("SELECT pg_sleep(0.1)")
    with open_blocking_connection(database, MAINTENANCE, "migration") as blocking:
        blocking.execute("SELECT pg_sleep(0.1)")
    printed = capsys.readouterr().out
    assert "database work continues" in printed
    assert "rebuild of a view" in printed
    assert "migration" in printed


def test_only_one_module_connects() -> None:
    root = Path(__file__).parents[3]
    connects = (b"psycopg.connect(", b"AsyncConnection.connect(", b"ConnectionPool(")
    found = {
        str(path.relative_to(root))
        for package in ("application", "domain", "infrastructure", "interfaces")
        for path in (root / package).rglob("*.py")
        if any(text in path.read_bytes() for text in connects)
    }
    assert found == {"infrastructure/postgres/sessions.py"}


def test_a_connection_error_has_its_cause(database: str) -> None:
    dsn = make_conninfo(database, dbname="no_such_database")
    with pytest.raises(StorageUnavailable, match="no_such_database"), open_blocking_connection(dsn, REQUEST, "test"):
        pass
