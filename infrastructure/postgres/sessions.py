"""Sessions: the one place that connects to Postgres, sets what the service relies on, and bounds every wait.

The environment of the process (PGOPTIONS, PGSERVICE …) and the settings of the database and the role (``ALTER ROLE … SET``)
have no effect on a session: one statement after connecting overrides them.
"""

import os
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from application.errors import StorageUnavailable
from application.ports.operations import UnsuitableDatabase
from infrastructure.postgres.errors import translate_errors
from infrastructure.postgres.progress import Watch, reporting
from infrastructure.postgres.roles import APP_ROLE, EXCESS
from infrastructure.postgres.service_connection import ServiceConnection, deadline

_FOREIGN = (
    "PGOPTIONS",
    "PGSERVICE",
    "PGHOSTADDR",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGDATESTYLE",
    "PGTZ",
    "PGGEQO",
    "PGCLIENTENCODING",
)
"""Variables of libpq that would change where a connection string leads, or what a session does."""

_SETTINGS = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": "read committed",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "array_nulls": "on",
    "search_path": "public",  # our own names are qualified; extensions are installed here
    "idle_session_timeout": "0",
    # The server notices within half a minute that the machine of a client is gone, and drops its locks.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
# An acknowledged change is on disk. Stricter levels (remote_apply …) are the choice of the deployment.
_DURABLE = """
    CASE pg_catalog.current_setting('synchronous_commit')
        WHEN 'off' THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit')
    END
"""
_POOLER = "A pooler such as PgBouncer is between this program and the database, and is not supported: connect to Postgres itself"
_TRANSACTION_TIMEOUT_SINCE = 170000
_CONNECTION_CHECK_SINCE = 150000  # on every platform; 14 refuses it on some


class Purpose(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a connection's waits, in seconds; None or 0 is without a bound.

    ``deadline_s`` is the client's: it bounds the use of a pool, from waiting for a connection on. The others are the
    server's; they are shorter, so that a busy server sends an error and the connection can be kept.
    """

    deadline_s: float | None
    connect_s: int
    statement_s: float
    lock_s: float
    idle_in_transaction_s: float
    reports: bool = False


REQUEST = Purpose(deadline_s=4.5, connect_s=2, statement_s=4, lock_s=3, idle_in_transaction_s=5)
"""A client waits for the response."""

BATCH = Purpose(deadline_s=30, connect_s=3, statement_s=28, lock_s=10, idle_in_transaction_s=5)
"""Background work of the worker, and of commands that only read."""

LISTEN = Purpose(deadline_s=None, connect_s=3, statement_s=4, lock_s=3, idle_in_transaction_s=5)
"""Notifications: the wait has no end; the listener pings the server every five seconds."""

MAINTENANCE = Purpose(deadline_s=None, connect_s=5, statement_s=0, lock_s=60, idle_in_transaction_s=0, reports=True)
"""Migrations and rebuilds: they take the time that they need, and report every ten seconds that they work.

They set a shorter ``lock_timeout`` where a wait for a lock would make others wait behind them.
"""


async def connect(dsn: str, purpose: Purpose, name: str, *, allow_owner: bool = True) -> ServiceConnection:
    """Return a new connection in autocommit mode, with our settings; Postgres shows it as ``perezvon <name>``.

    ``allow_owner``: accept a login with the rights of the log's owner or of a superuser. Raises psycopg.OperationalError,
    and UnsuitableDatabase.
    """
    with _refusing_poolers():
        connection = await ServiceConnection.connect(_conninfo(dsn, purpose, name), autocommit=True)
    try:
        _check_encoding(connection)
        with deadline(connection, purpose.connect_s):
            cursor = await connection.execute(_settings_of(connection, purpose))
            _skip_to_last_result(cursor)
            rows = await cursor.fetchall()
        _check_settings(rows)
        if not allow_owner:
            _check_login(connection.info.user, rows)
    except BaseException:
        await connection.close()
        raise
    return connection


@asynccontextmanager
async def open_connection(
    dsn: str, purpose: Purpose, name: str, *, allow_owner: bool = True
) -> AsyncGenerator[ServiceConnection]:
    """Yield a connection of its own, in autocommit mode, and close it at the end.

    The deadline of the purpose bounds all of the use. Without one, the log says every ten seconds that the work
    continues. Raises StorageUnavailable, UnsuitableDatabase.
    """
    with translate_errors():
        connection = await connect(dsn, purpose, name, allow_owner=allow_owner)
        try:
            with (
                deadline(connection, purpose.deadline_s) if purpose.deadline_s else nullcontext(),
                reporting(name) if purpose.reports else nullcontext(),
            ):
                yield connection
        finally:
            await connection.close()


@contextmanager
def open_blocking_connection(dsn: str, purpose: Purpose, name: str) -> Generator[psycopg.Connection]:
    """Yield a connection for code without an event loop; otherwise like ``open_connection``."""
    with translate_errors():
        with _refusing_poolers():
            connection = psycopg.connect(_conninfo(dsn, purpose, name), autocommit=True)
        watch = Watch(connection, purpose.deadline_s, name)
        try:
            _check_encoding(connection)
            cursor = connection.execute(_settings_of(connection, purpose))
            _skip_to_last_result(cursor)
            _check_settings(cursor.fetchall())
            yield connection
        except psycopg.Error as error:
            if watch.has_expired:
                raise StorageUnavailable(f"The database did not respond within {purpose.deadline_s:g} s") from error
            raise
        finally:
            watch.stop()
            connection.close()


def _conninfo(dsn: str, purpose: Purpose, name: str) -> str:
    for variable in _FOREIGN:
        os.environ.pop(variable, None)
    given = conninfo_to_dict(dsn).get("options") or ""
    return make_conninfo(
        dsn,
        # Short timeouts of the database or the role would end the session before, or in, the statement that sets ours.
        options=f"{given} -c statement_timeout={1000 * purpose.connect_s} -c idle_session_timeout=0".lstrip(),
        application_name=f"perezvon {name}",
        client_encoding="UTF8",
        connect_timeout=purpose.connect_s,
        keepalives=1,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=int(1000 * (purpose.deadline_s or 60)),
    )


@contextmanager
def _refusing_poolers() -> Generator[None]:
    """Raise UnsuitableDatabase for a pooler that accepts no settings when a client connects, as PgBouncer by default."""
    try:
        yield
    except psycopg.OperationalError as error:
        if "unsupported startup parameter" in str(error):
            raise UnsuitableDatabase(_POOLER) from error
        raise


def _check_encoding(connection: psycopg.Connection[Any] | AsyncConnection[Any]) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise UnsuitableDatabase(
            f"The encoding of the database is {encoding}; it must be UTF8. Create another one:"
            " CREATE DATABASE perezvon ENCODING 'UTF8' TEMPLATE template0"
        )


def _settings_of(connection: psycopg.Connection[Any] | AsyncConnection[Any], purpose: Purpose) -> bytes:
    """Return the statement that sets everything, unless a pooler gave us a session that other clients use too.

    Its rows also say which rights the login has that the service must not have.
    """
    names = {
        **_SETTINGS,
        "statement_timeout": _milliseconds(purpose.statement_s),
        "lock_timeout": _milliseconds(purpose.lock_s),
        "idle_in_transaction_session_timeout": _milliseconds(purpose.idle_in_transaction_s),
    }
    first = ""
    if connection.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
        # A short one of the database or the role would end the query itself.
        names["transaction_timeout"], first = "0", "SET LOCAL transaction_timeout = 0;"
    if connection.info.server_version >= _CONNECTION_CHECK_SINCE:
        names["client_connection_check_interval"] = "500"  # a statement whose client has given up ends
    rows = [f"('{name}', '{value}')" for name, value in names.items()]
    rows.append(f"('synchronous_commit', {_DURABLE})")
    return f"""
        {first}
        SELECT pg_catalog.set_config(name, value, false), ({EXCESS})
        FROM (VALUES {", ".join(rows)}) AS s (name, value)
        WHERE pg_catalog.pg_backend_pid() = {connection.info.backend_pid}
    """.encode()


def _skip_to_last_result(cursor: psycopg.Cursor[Any] | AsyncCursor[Any]) -> None:
    while cursor.nextset():
        pass


def _milliseconds(seconds: float) -> str:
    return str(int(1000 * seconds))


def _check_settings(rows: Sequence[TupleRow]) -> None:
    if not rows:
        raise UnsuitableDatabase(_POOLER)


def _check_login(user: str, rows: Sequence[TupleRow]) -> None:
    if excess := rows[0][1]:
        raise UnsuitableDatabase(
            f"The login of the service, {user}, {excess}: nothing would protect the event log from it."
            f" Take these rights away, or name the login {APP_ROLE} in PEREZVON_DATABASE_URL (docs/operations.md)"
        )
