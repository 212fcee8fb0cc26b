"""Connections: the pool, the service's connection string, and the translation of lost connections."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from application.errors import StorageUnavailable
from infrastructure.postgres.cancellation import propagate_cancellation
from infrastructure.postgres.roles import APP_ROLE


def service_dsn(owner: str, password: str | None = None) -> str:
    """Return the connection string of the service's login to the owner's database.

    Without ``password`` it keeps the owner's, which is right where the server asks for none.
    """
    secret = {} if password is None else {"password": password}
    return make_conninfo(owner, user=APP_ROLE, **secret)


@asynccontextmanager
async def translate_connection_errors() -> AsyncGenerator[None]:
    """Raise StorageUnavailable instead of the errors of a lost connection, an exhausted pool and a stopping server."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise StorageUnavailable(type(error).__name__) from error


class Pool:
    """A small pool of connections, opened at first use and reopened after they were lost."""

    def __init__(self, dsn: str, *, size: int, name: str) -> None:
        """Keep at most ``size`` connections to ``dsn``; Postgres shows ``name`` as the application's name."""
        self._pool = AsyncConnectionPool(
            make_conninfo(dsn, application_name=f"perezvon {name}"),
            min_size=1,
            max_size=size,
            open=False,
            timeout=3.0,
            reconnect_timeout=2.0,
            kwargs={"autocommit": True, "connect_timeout": 3},
            configure=_configure,
        )

    async def open(self) -> None:
        """Start connecting; does not wait."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close(timeout=2.0)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection in autocommit mode. Raises StorageUnavailable when none is free within three seconds.

        A cancellation that arrives meanwhile is raised at the end.
        """
        with propagate_cancellation():
            async with translate_connection_errors(), self._pool.connection() as connection:
                yield connection


async def _configure(connection: AsyncConnection) -> None:
    await connection.execute("SET idle_in_transaction_session_timeout = '5s'")
