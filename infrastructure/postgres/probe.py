"""Probes of a server: whether a connection string leads to a suitable one, and when its connection is lost."""

from contextlib import suppress

import psycopg
from psycopg.conninfo import conninfo_to_dict

from application.errors import StorageUnavailable
from application.ports.operations import InvalidDsn, ServerTooOld
from infrastructure.postgres.migrations import check_schema
from infrastructure.postgres.roles import excess_of
from infrastructure.postgres.room import room_for_connections
from infrastructure.postgres.sessions import LISTEN, REQUEST, open_blocking_connection, open_connection

MIN_SERVER_VERSION = 14
_VERSION_FACTOR = 10_000  # PostgreSQL 14.5 reports 140005


def probe_server(dsn: str) -> None:
    """Connect once and disconnect.

    Raises:
        InvalidDsn: ``dsn`` is not a connection string.
        StorageUnavailable: no server responds there, or it rejects the connection; the message says why.
        ServerTooOld: the server is older than PostgreSQL 14.
        UnsuitableDatabase: the database is not UTF8, or the connection leads to a pooler.
    """
    try:
        conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise InvalidDsn("Expected a connection string such as postgresql://user:password@host/database") from error
    with open_blocking_connection(dsn, REQUEST, "start") as connection:
        version = connection.info.server_version
    if version < MIN_SERVER_VERSION * _VERSION_FACTOR:
        found = version // _VERSION_FACTOR
        raise ServerTooOld(f"The server is PostgreSQL {found}; PostgreSQL {MIN_SERVER_VERSION} or newer is required")


def examine_login(dsn: str) -> str | None:
    """Connect once; return which rights the login has that the service must not have, None if it has none of them.

    Raises StorageUnavailable when the database cannot be reached, SchemaTooOld when it must be migrated first.
    """
    with open_blocking_connection(dsn, REQUEST, "start") as connection:
        check_schema(connection)
        return excess_of(connection)


def connections_left(dsn: str) -> int:
    """Connect once; return how many more connections the login may open. Raises StorageUnavailable."""
    with open_blocking_connection(dsn, REQUEST, "start") as connection:
        return room_for_connections(connection).free


async def wait_until_lost(dsn: str) -> None:
    """Hold a connection; return when the server has ended it, or at once when the server cannot be reached."""
    with suppress(StorageUnavailable):
        async with open_connection(dsn, LISTEN, "up") as connection:
            async for _ in connection.notifies():
                pass  # no channel is listened to: the wait ends with the connection
