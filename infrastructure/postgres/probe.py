"""Whether an address is that of a database that will do, and when that database is lost."""

import psycopg
from psycopg.conninfo import conninfo_to_dict

from application.errors import StorageUnavailable
from application.ports.operations import InvalidDsn, ServerTooOld

OLDEST = 14
_THOUSANDS = 10_000  # PostgreSQL 14.5 calls itself 140005


def probe_server(dsn: str) -> None:
    """Connect once and leave.

    Raises:
        BadAddress: ``dsn`` is no connection string.
        StorageUnavailable: nobody answers there, or not to us; the message says why.
        ServerTooOld: it is older than PostgreSQL 14.
    """
    try:
        conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise InvalidDsn("Expected a connection string such as postgresql://user:password@host/database") from error
    try:
        with psycopg.connect(dsn, connect_timeout=5) as connection:
            version = connection.info.server_version
    except psycopg.OperationalError as error:
        raise StorageUnavailable(str(error).strip()) from error
    if version < OLDEST * _THOUSANDS:
        raise ServerTooOld(f"The server is PostgreSQL {version // _THOUSANDS}; {OLDEST} or newer is needed")


async def wait_until_lost(dsn: str) -> None:
    """Hold a connection, and return when the server has ended it or could not be reached at all."""
    try:
        connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True, application_name="perezvon up")
        async with connection:
            async for _ in connection.notifies():
                pass  # nothing is listened for: the wait ends with the connection
    except psycopg.OperationalError:
        return
