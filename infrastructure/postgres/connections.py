"""Connections, migrations, and what a lost database looks like to the rest."""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from importlib.resources import files

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from application.errors import StorageUnavailable
from infrastructure.postgres.cancellation import heeding_cancellation

SCHEMA = "perezvon_1"
SHARD = 1
SHARD_BITS = 6
LOG_TABLE = "stored_events"
APP_ROLE = "perezvon_app"
_LOG_LOCK_CLASS = 0x7065_7265  # "pere": the log's advisory locks, apart from other programs' locks
_MIGRATION_LOCK = 0x7065_7265_7A76_6F6E
_LOGS = (  # ours, and those of other applications
    "SELECT c.relname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid"
    " WHERE t.tgname = 'append_only' AND c.relnamespace = %s::regnamespace"
)
_MIGRATION_NAME = re.compile(r"(\d{4})_(?:pre|post)_[a-z0-9_]+\.sql")


class SchemaTooOld(Exception):
    """The database's schema is older than this program; ``perezvon migrate`` mends it."""


def _name(text: str) -> str:
    return sql.Identifier(text).as_string(None)


def event_log_sql(schema: str, table: str) -> str:
    """Answer the SQL that makes an event log of that name: perezvon's own, or that of another application."""
    template = _migration_text("0001_pre_event_log.sql")
    parts = ("position", "stream", "claims", "claims_age", "refuse", "append")
    names = {f"{{table_{part}}}": _name(f"{table}_{part}") for part in parts}
    names |= {
        "{schema}": _name(schema),
        "{table}": _name(table),
        "{channel}": table.replace(".", "_").replace("'", "''"),
        "{regclass}": sql.Literal(f"{_name(schema)}.{_name(table)}").as_string(None),
        "{lock_class}": str(_LOG_LOCK_CLASS),
    }
    return re.sub(r"\{\w+\}", lambda match: names[match[0]], template)


def _migration_text(name: str) -> str:
    return files("infrastructure.migrations").joinpath(name).read_text(encoding="utf-8")


def migrations() -> Iterator[tuple[int, str]]:
    """Answer number and file name of each migration, in order."""
    for path in sorted(files("infrastructure.migrations").iterdir(), key=lambda p: p.name):
        if match := _MIGRATION_NAME.fullmatch(path.name):
            yield int(match[1]), path.name


def migrate(dsn: str) -> list[str]:
    """Bring the database up to date, as its owner; answer the names of the migrations that were missing.

    Each runs in a transaction of its own, under a lock: several processes may call this at once.
    """
    schema = _name(SCHEMA)
    applied: list[str] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {schema}.migrations (number int PRIMARY KEY, name text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())".encode()
        )
        rows = connection.execute(f"SELECT number FROM {schema}.migrations".encode()).fetchall()
        done = {number for (number,) in rows}
        for number, name in migrations():
            if number in done:
                continue
            text = (
                event_log_sql(SCHEMA, LOG_TABLE) if number == 1 else _migration_text(name).replace("{schema}", schema)
            )
            with connection.transaction():
                connection.execute(text.encode())
                connection.execute(
                    f"INSERT INTO {schema}.migrations (number, name) VALUES (%s, %s)".encode(), (number, name)
                )
            applied.append(name)
        grant_to_service(connection)
    return applied


def grant_to_service(connection: psycopg.Connection) -> None:
    """Give the role of the running service what it needs and no more: the log is appended to through its door alone.

    The role is made by whoever may make roles; where the owner may not and nobody did, the service runs as the
    owner, the log's trigger still refuses changes, and ``perezvon doctor`` says so.
    """
    try:
        with connection.transaction():
            exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (APP_ROLE,)).fetchone()
            if exists is None:
                connection.execute(f"CREATE ROLE {APP_ROLE} NOLOGIN".encode())
                connection.execute(f"GRANT {APP_ROLE} TO CURRENT_USER".encode())
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (APP_ROLE,)).fetchone() is None:
            return
    schema, role = _name(SCHEMA), APP_ROLE
    door = f"{schema}.{_name(LOG_TABLE + '_append')}"
    own = f"{schema}.migrations, {schema}.log_identity, {schema}.log_json"
    for statement in (
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        f"REVOKE INSERT, UPDATE, DELETE ON {own} FROM {role}",
        f"REVOKE INSERT, UPDATE ON {schema}.{_name(LOG_TABLE + '_claims')} FROM {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
        f"GRANT EXECUTE ON FUNCTION {door} TO {role}",
    ):
        connection.execute(statement.encode())
    for (log,) in connection.execute(_LOGS, (SCHEMA,)).fetchall():
        connection.execute(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {schema}.{_name(log)} FROM {role}".encode())


def service_dsn(dsn: str) -> str:
    """Answer the same database for the running service: with its own role, where that can be taken.

    Raises StorageUnavailable when the database cannot be reached, SchemaTooOld when it wants migrating.
    """
    newest = max(number for number, _ in migrations())
    try:
        with psycopg.connect(dsn, connect_timeout=5) as connection:
            known = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.migrations",)).fetchone()
            if known is None or known[0] is None:
                raise SchemaTooOld("The database holds no perezvon yet: run `perezvon migrate`")
            row = connection.execute(f"SELECT max(number) FROM {_name(SCHEMA)}.migrations".encode()).fetchone()
            if row is None or (row[0] or 0) < newest:
                raise SchemaTooOld("The database's schema is older than this program: run `perezvon migrate`")
            member = connection.execute(
                "SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = %s", (APP_ROLE,)
            ).fetchone()
    except psycopg.OperationalError as error:
        raise StorageUnavailable(str(error)) from error
    return make_conninfo(dsn, options=f"-c role={APP_ROLE}") if member and member[0] else dsn


@asynccontextmanager
async def lost_database_is_storage_away() -> AsyncGenerator[None]:
    """Turn a lost connection, an exhausted pool and a server that is stopping into StorageUnavailable."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise StorageUnavailable(type(error).__name__) from error


class Pool:
    """A few connections, opened when first needed and again after they were lost."""

    def __init__(self, dsn: str, *, size: int, name: str) -> None:
        """Keep at most ``size`` connections to ``dsn``; ``name`` shows as the application's name in Postgres."""
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
        """Begin connecting; does not wait."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close(timeout=2.0)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[AsyncConnection]:
        """Lend a connection in autocommit mode. Raises StorageUnavailable when there is none to be had in three seconds.

        Whoever is told to stop in the meantime stops.
        """
        with heeding_cancellation():
            async with lost_database_is_storage_away(), self._pool.connection() as connection:
                yield connection


async def _configure(connection: AsyncConnection) -> None:
    await connection.execute("SET idle_in_transaction_session_timeout = '5s'")
