"""Migrations: bring the schema up to date and grant the service's login what it needs."""

import re
import time
from collections.abc import Iterator
from importlib.resources import files

import psycopg
import structlog

from application.ports.operations import SchemaTooOld
from infrastructure.postgres.roles import ensure_service_login, grant_to_service
from infrastructure.postgres.sessions import MAINTENANCE, open_blocking_connection
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA, quoted, statement

_MIGRATION_LOCK = 0x7065_7265_7A76_6F6E
_MIGRATION_NAME = re.compile(r"(\d{4})_(?:pre|post)_[a-z0-9_]+\.sql")

_LOCK_TRIES = 60  # of five seconds each: others wait behind a migration that waits
_PAUSE_S = 0.5

_logger = structlog.get_logger(__name__)

# An extension that exists already may be in a schema of its own.
_PREPARE = b"""
    SET client_min_messages = warning;
    SET lock_timeout = '5s';
    SELECT set_config('search_path', concat_ws(', ', 'public', quote_ident(n.nspname)), false)
    FROM pg_extension AS e
    JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_trgm'
"""
_HOLDER = b"""
    SELECT l.pid, a.usename, a.application_name
    FROM pg_locks AS l
    JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()
        AND (l.classid::bigint << 32 | l.objid::bigint) = %s
"""
_CREATE_SCHEMA = statement("CREATE SCHEMA IF NOT EXISTS {schema}")
_CREATE_MIGRATIONS = statement("""
    CREATE TABLE IF NOT EXISTS {schema}.migrations (
        number int PRIMARY KEY,
        name text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
""")
_APPLIED = statement("SELECT number FROM {schema}.migrations")
_NOTE_APPLIED = statement("INSERT INTO {schema}.migrations (number, name) VALUES (%s, %s)")


def event_log_sql(schema: str, table: str) -> str:
    """Return the SQL that creates an event log of that name: perezvon's own, or that of another application."""
    template = _migration_text("0001_pre_event_log.sql")
    parts = ("position", "stream", "claims", "claims_age", "door", "refuse", "append")
    names = {f"{{table_{part}}}": quoted(f"{table}_{part}") for part in parts}
    names |= {
        "{schema}": quoted(schema),
        "{table}": quoted(table),
        "{channel}": table.replace(".", "_").replace("'", "''"),
    }
    return re.sub(r"\{\w+\}", lambda match: names[match[0]], template)


def _migration_text(name: str) -> str:
    return files("infrastructure.migrations").joinpath(name).read_text(encoding="utf-8")


def migrations() -> Iterator[tuple[int, str]]:
    """Yield number and file name of each migration, in order."""
    for path in sorted(files("infrastructure.migrations").iterdir(), key=lambda p: p.name):
        if match := _MIGRATION_NAME.fullmatch(path.name):
            yield int(match[1]), path.name


def migrate(dsn: str, service_password: str | None = None) -> list[str]:
    """Bring the database up to date, as its owner, and return the names of the migrations that were missing.

    The service's login is created, with ``service_password``, if it is missing. Each migration runs in its own transaction,
    under a lock: several processes may call this at once. Raises ServiceLoginMissing before anything is changed.
    """
    applied: list[str] = []
    with open_blocking_connection(dsn, MAINTENANCE, "migrate") as connection:
        _lock(connection)
        connection.execute(_PREPARE)
        ensure_service_login(connection, service_password)
        connection.execute(_CREATE_SCHEMA)
        connection.execute(_CREATE_MIGRATIONS)
        done = {number for (number,) in connection.execute(_APPLIED).fetchall()}
        for number, name in migrations():
            if number in done:
                continue
            _apply(connection, number, name)
            applied.append(name)
        grant_to_service(connection)
    return applied


def _lock(connection: psycopg.Connection) -> None:
    """Wait while another process migrates; name its session, because every login of the database may hold such a lock."""
    named = None
    while connection.execute("SELECT pg_try_advisory_lock(%s)", (_MIGRATION_LOCK,)).fetchone() != (True,):
        holder = connection.execute(_HOLDER, (_MIGRATION_LOCK,)).fetchone()
        if holder and holder != named:
            session, user, application = named = holder
            _logger.warning("migration waits for another one", session=session, user=user, application=application)
        time.sleep(_PAUSE_S)


def _apply(connection: psycopg.Connection, number: int, name: str) -> None:
    """Apply a migration in a transaction of its own; try again while others hold locks on what it changes."""
    for left in reversed(range(_LOCK_TRIES)):
        try:
            with connection.transaction():
                connection.execute(_migration_sql(number, name).encode())
                connection.execute(_NOTE_APPLIED, (number, name))
        except psycopg.errors.LockNotAvailable:
            if not left:
                raise
            _logger.warning("migration waits for a lock", migration=name, tries_left=left)
            time.sleep(_PAUSE_S)
        else:
            return


def _migration_sql(number: int, name: str) -> str:
    if number == 1:
        return event_log_sql(SCHEMA, LOG_TABLE)
    return _migration_text(name).replace("{schema}", quoted(SCHEMA))


def missing_migrations(connection: psycopg.Connection) -> list[str]:
    """Return the names of this program's migrations that were not applied; those of newer programs may have been."""
    known = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.migrations",)).fetchone()
    exists = known is not None and known[0] is not None
    applied = {number for (number,) in connection.execute(_APPLIED).fetchall()} if exists else set[int]()
    return [name for number, name in migrations() if number not in applied]


def check_schema(connection: psycopg.Connection) -> None:
    """Raise SchemaTooOld unless all migrations of this program were applied."""
    missing = missing_migrations(connection)
    if len(missing) == len([*migrations()]):
        raise SchemaTooOld("The database has no perezvon schema yet: run `perezvon migrate`")
    if missing:
        raise SchemaTooOld(f"The database's schema lacks {', '.join(missing)}: run `perezvon migrate`")
