"""Several servers in one connection string."""

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from application.errors import StorageUnavailable
from infrastructure.postgres.connections import Pool, service_dsn
from tests.support.databases import DatabaseServer
from tests.support.relay import Relay

pytestmark = pytest.mark.anyio


def both(dsn: str, first: Relay, second: Relay) -> str:
    """Return a connection string that names both servers."""
    ports = f"{first.port},{second.port}"
    return make_conninfo(dsn, host="127.0.0.1,127.0.0.1", port=ports, target_session_attrs="read-write")


async def test_a_lost_server_is_followed_by_the_next_in_the_connection_string(database: str) -> None:
    first, second = Relay(service_dsn(database)), Relay(service_dsn(database))
    first.open()
    pool = Pool(both(service_dsn(database), first, second), size=1, name="test")
    async with pool.connection() as connection:
        assert connection.info.port == first.port
    first.shut()
    second.open()
    async with pool.connection() as connection:
        assert connection.info.port == second.port
    await pool.close()
    second.shut()


async def test_a_read_only_server_is_not_used_where_changes_are_asked_for(
    database: str, server: DatabaseServer
) -> None:
    name = sql.Identifier(str(conninfo_to_dict(database)["dbname"]))
    server.admin.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    pool = Pool(make_conninfo(service_dsn(database), target_session_attrs="read-write"), size=1, name="test")
    with pytest.raises(StorageUnavailable, match="read-only"):
        async with pool.connection():
            pass
    await pool.close()
