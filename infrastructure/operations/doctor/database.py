"""Checks of the database: whether it is fit to keep the log."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import Connection, sql

from application.ports.diagnosis import Check, passed
from infrastructure.access_directory.comparison import differing_rows
from infrastructure.operations.doctor.horizon import examine_horizon
from infrastructure.operations.doctor.locks import check_locks
from infrastructure.operations.doctor.server import check_connections, check_writable
from infrastructure.operations.doctor.snapshots import snapshots
from infrastructure.postgres.migrations import migrations, missing_migrations
from infrastructure.postgres.notifications import LISTENER
from infrastructure.postgres.roles import APP_ROLE, excess_of, excess_privileges
from infrastructure.postgres.sessions import BATCH, open_blocking_connection
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA, statement

_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
_SKEW_S = 2.0
_CHANGES = {"UPDATE": 16, "DELETE": 8, "TRUNCATE": 32}  # bits of pg_trigger.tgtype

_WAIT_BRIEFLY = b"SET lock_timeout = '1s'"  # for each check, so that all are made
_REFUSED_CHANGES = b"""
    SELECT tgtype::int
    FROM pg_trigger
    WHERE tgrelid = %s::regclass AND tgname = 'append_only' AND tgenabled IN ('O', 'A')
"""
_MAY_CHANGE_LOG = b"""
    SELECT has_table_privilege(oid, %s, 'UPDATE, DELETE, TRUNCATE')
    FROM pg_roles
    WHERE rolname = %s
"""
_TRIGRAM_SCHEMA = b"""
    SELECT n.nspname
    FROM pg_extension e
    JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_trgm'
"""
_WORKERS = b"""
    SELECT count(*)
    FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = %s
"""


def examine(dsn: str, *, allow_owner: bool) -> Iterator[Check]:
    """Run the checks in order, with the login of the service; those that depend on a failed one are skipped.

    ``allow_owner``: a login with the owner's rights is a warning, not a failure. Nothing is changed. Raises
    StorageUnavailable when the connection is lost in between.
    """
    with open_blocking_connection(dsn, BATCH, "doctor") as connection:
        yield passed("database", f"PostgreSQL {connection.info.parameter_status('server_version')} responds")
        yield check_writable(connection)
        yield check_connections(connection)
        connection.execute(_WAIT_BRIEFLY)
        yield check_locks(connection)
        yield _durability(connection)
        schema = _run(_schema, connection)
        yield schema
        if schema.state == "fail":
            return
        yield _role(connection, allow_owner=allow_owner)
        for check in (_fence, _privileges, _access, _search, snapshots, _clock, _worker):
            yield _run(check, connection)
        yield from examine_horizon(connection)


def _run(check: Callable[[Connection], Check], connection: Connection) -> Check:
    try:
        return check(connection)
    except psycopg.errors.ProgrammingError as error:  # an object is missing that a migration creates
        name, advice = check.__name__.strip("_"), "Run `perezvon migrate`"
        return Check(name=name, state="fail", message=str(error).partition("\n")[0], advice=advice)
    except psycopg.errors.LockNotAvailable:
        message = "Another session locks a table that this check reads"
        return Check(name=check.__name__.strip("_"), state="fail", message=message, advice="See the check `locks`")


def _durability(connection: Connection) -> Check:
    rows = connection.execute(
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(_DURABLE),)
    ).fetchall()
    unsafe = [f"{name} = {setting}" for name, setting in sorted(rows) if setting == "off"]
    if unsafe:
        advice = "Set them to `on` in postgresql.conf: a crash may lose data that was confirmed"
        return Check(name="durability", state="fail", message=", ".join(unsafe), advice=advice)
    return passed("durability", "fsync, full_page_writes and synchronous_commit are on")


def _schema(connection: Connection) -> Check:
    if missing := missing_migrations(connection):
        found = f"Migrations are missing: {', '.join(missing)}"
        message = "No schema yet" if len(missing) == len([*migrations()]) else found
        return Check(name="schema", state="fail", message=message, advice="Run `perezvon migrate`")
    newest = _value(connection, statement("SELECT max(number) FROM {schema}.migrations"))
    return passed("schema", f"Schema {newest}")


def _role(connection: Connection, *, allow_owner: bool) -> Check:
    excess = excess_of(connection)
    if excess is None:
        return passed("role", f"The service logs in as {connection.info.user}")
    message = f"The login of the service, {connection.info.user}, {excess}: nothing protects the event log from it"
    advice = f"Name the login {APP_ROLE} in PEREZVON_DATABASE_URL, and the owner's in PEREZVON_OWNER_URL"
    return Check(name="role", state="warn" if allow_owner else "fail", message=message, advice=advice)


def _fence(connection: Connection) -> Check:
    refused = _value(connection, _REFUSED_CHANGES, f"{SCHEMA}.{LOG_TABLE}")
    if allowed := [change for change, bit in _CHANGES.items() if not (refused or 0) & bit]:
        advice = "Restore the trigger append_only as migration 0001 creates it, and find out who removed it"
        return Check(name="fence", state="fail", message=f"The log allows {', '.join(allowed)}", advice=advice)
    if _value(connection, _MAY_CHANGE_LOG, f"{SCHEMA}.{LOG_TABLE}", APP_ROLE):
        message = f"{APP_ROLE} has the privilege to change the log: only the trigger prevents it"
        return Check(name="fence", state="warn", message=message, advice="Run `perezvon migrate`")
    return passed("fence", "The log is append-only")


def _privileges(connection: Connection) -> Check:
    if excess := excess_privileges(connection):
        message = f"{APP_ROLE} has more rights than the service needs: {', '.join(excess)}"
        advice = "Take them away (REVOKE), and run `perezvon migrate`, which grants what is needed"
        return Check(name="privileges", state="fail", message=message, advice=advice)
    return passed("privileges", f"{APP_ROLE} has only the rights that the service needs")


def _access(connection: Connection) -> Check:
    if found := differing_rows(connection):
        rows = ", ".join(f"{count} of {table}" for table, count in found.items())
        advice = "Find out who changed them, then run `perezvon rebuild access_directory --accept`"
        message = f"Rows that grant access are not what the log says: {rows}"
        return Check(name="access", state="fail", message=message, advice=advice)
    return passed("access", "Organisations, members, operators and tokens are what the log says")


def _search(connection: Connection) -> Check:
    schema = _value(connection, _TRIGRAM_SCHEMA)
    if schema is None:
        return Check(
            name="search", state="fail", message="The extension pg_trgm is missing", advice="Run `perezvon migrate`"
        )
    trigrams = sql.SQL("SELECT cardinality({}.show_trgm('я'))").format(sql.Identifier(schema)).as_bytes(None)
    if _value(connection, trigrams):
        return passed("search", "Trigrams of Cyrillic text are indexed")
    message = "Trigrams ignore Cyrillic: searches are slow and case-sensitive"
    advice = "Recreate the database from a dump with a UTF-8 locale such as C.UTF-8"
    return Check(name="search", state="warn", message=message, advice=advice)


def _clock(connection: Connection) -> Check:
    before = datetime.now(UTC)
    now = _value(connection, b"SELECT clock_timestamp()")
    last = _value(connection, statement("SELECT recorded_at FROM {log} ORDER BY notification_id DESC LIMIT 1"))
    skew = (now - before).total_seconds()
    if last is not None and (ahead := (last - now).total_seconds()) > _SKEW_S:
        message = (
            f"The last event is recorded {ahead:.0f} s in the future: new events are recorded with that time until then"
        )
        return Check(name="clock", state="warn", message=message, advice="Set the database server's clock")
    if abs(skew) > _SKEW_S:
        message = f"The database's clock is {skew:+.0f} s off this machine's"
        return Check(name="clock", state="warn", message=message, advice="Run NTP on both")
    return passed("clock", "The database's clock agrees with this machine's")


def _worker(connection: Connection) -> Check:
    count = _value(connection, _WORKERS, f"perezvon {LISTENER}")
    if count:
        return passed("worker", f"{count} connected")
    return Check(name="worker", state="fail", message="No worker is connected", advice="Start `perezvon work`")


def _value(connection: Connection, query: bytes, *values: object) -> Any:
    row = connection.execute(query, values or None).fetchone()
    return row[0] if row else None
