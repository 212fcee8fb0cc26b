"""Migrations: bring the schema up to date and grant the service's role what it needs."""

import re
from collections.abc import Iterator
from importlib.resources import files

import psycopg
from psycopg import sql

from application.ports.operations import SchemaTooOld
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA, quoted, statement

APP_ROLE = "perezvon_app"
_LOG_LOCK_CLASS = 0x7065_7265  # "pere": separates the log's advisory locks from those of other programs
_MIGRATION_LOCK = 0x7065_7265_7A76_6F6E
_MIGRATION_NAME = re.compile(r"(\d{4})_(?:pre|post)_[a-z0-9_]+\.sql")

_CREATE_SCHEMA = statement("CREATE SCHEMA IF NOT EXISTS {schema}")
_CREATE_MIGRATIONS = statement("""
    CREATE TABLE IF NOT EXISTS {schema}.migrations (
        number int PRIMARY KEY,
        name text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
""")
_APPLIED = statement("SELECT number FROM {schema}.migrations")
_NEWEST_APPLIED = statement("SELECT max(number) FROM {schema}.migrations")
_NOTE_APPLIED = statement("INSERT INTO {schema}.migrations (number, name) VALUES (%s, %s)")
_APPEND_ONLY_LOGS = """
    SELECT c.relname
    FROM pg_trigger AS t
    JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE t.tgname = 'append_only' AND c.relnamespace = %s::regnamespace
"""  # ours, and those of other applications


def event_log_sql(schema: str, table: str) -> str:
    """Return the SQL that creates an event log of that name: perezvon's own, or that of another application."""
    template = _migration_text("0001_pre_event_log.sql")
    parts = ("position", "stream", "claims", "claims_age", "refuse", "append")
    names = {f"{{table_{part}}}": quoted(f"{table}_{part}") for part in parts}
    names |= {
        "{schema}": quoted(schema),
        "{table}": quoted(table),
        "{channel}": table.replace(".", "_").replace("'", "''"),
        "{regclass}": sql.Literal(quoted(schema, table)).as_string(None),
        "{lock_class}": str(_LOG_LOCK_CLASS),
    }
    return re.sub(r"\{\w+\}", lambda match: names[match[0]], template)


def _migration_text(name: str) -> str:
    return files("infrastructure.migrations").joinpath(name).read_text(encoding="utf-8")


def migrations() -> Iterator[tuple[int, str]]:
    """Yield number and file name of each migration, in order."""
    for path in sorted(files("infrastructure.migrations").iterdir(), key=lambda p: p.name):
        if match := _MIGRATION_NAME.fullmatch(path.name):
            yield int(match[1]), path.name


def migrate(dsn: str) -> list[str]:
    """Bring the database up to date, as its owner, and return the names of the migrations that were missing.

    Each migration runs in its own transaction, under a lock: several processes may call this at once.
    """
    applied: list[str] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        connection.execute("SET client_min_messages = warning")
        connection.execute(_CREATE_SCHEMA)
        connection.execute(_CREATE_MIGRATIONS)
        done = {number for (number,) in connection.execute(_APPLIED).fetchall()}
        for number, name in migrations():
            if number in done:
                continue
            with connection.transaction():
                connection.execute(_migration_sql(number, name).encode())
                connection.execute(_NOTE_APPLIED, (number, name))
            applied.append(name)
        grant_to_service(connection)
    return applied


def _migration_sql(number: int, name: str) -> str:
    if number == 1:
        return event_log_sql(SCHEMA, LOG_TABLE)
    return _migration_text(name).replace("{schema}", quoted(SCHEMA))


def check_schema(connection: psycopg.Connection) -> None:
    """Raise SchemaTooOld unless all migrations of this program were applied."""
    known = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.migrations",)).fetchone()
    if known is None or known[0] is None:
        raise SchemaTooOld("The database has no perezvon schema yet: run `perezvon migrate`")
    row = connection.execute(_NEWEST_APPLIED).fetchone()
    if row is None or (row[0] or 0) < max(number for number, _ in migrations()):
        raise SchemaTooOld("The database's schema is older than this program: run `perezvon migrate`")


def grant_to_service(connection: psycopg.Connection) -> None:
    """Grant the service's role what it needs and no more: events are appended through the log's function alone.

    The role is created here if the owner may create roles. Where the owner may not and the role is missing, the service
    runs as the owner, the log's trigger still refuses changes, and ``perezvon doctor`` reports it.
    """
    if not _role_exists(connection) and not _create_role(connection):
        return
    schema = quoted(SCHEMA)
    append = quoted(SCHEMA, LOG_TABLE + "_append")
    read_only = f"{schema}.migrations, {schema}.log_identity, {schema}.log_json"
    for grant in (
        f"GRANT USAGE ON SCHEMA {schema} TO {APP_ROLE}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {APP_ROLE}",
        f"REVOKE INSERT, UPDATE, DELETE ON {read_only} FROM {APP_ROLE}",
        f"REVOKE INSERT, UPDATE ON {quoted(SCHEMA, LOG_TABLE + '_claims')} FROM {APP_ROLE}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {APP_ROLE}",
        f"GRANT EXECUTE ON FUNCTION {append} TO {APP_ROLE}",
    ):
        connection.execute(grant.encode())
    for (log,) in connection.execute(_APPEND_ONLY_LOGS, (SCHEMA,)).fetchall():
        connection.execute(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {quoted(SCHEMA, log)} FROM {APP_ROLE}".encode())


def _role_exists(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (APP_ROLE,)).fetchone() is not None


def _create_role(connection: psycopg.Connection) -> bool:
    """Create the service's role; return whether it exists now, made here or by a process that ran at the same time."""
    try:
        with connection.transaction():
            connection.execute(f"CREATE ROLE {APP_ROLE} NOLOGIN".encode())
            connection.execute(f"GRANT {APP_ROLE} TO CURRENT_USER".encode())
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        return _role_exists(connection)
    return True
