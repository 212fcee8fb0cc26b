"""Check of locks: sessions that keep the service from reading or writing one of its tables."""

from psycopg import Connection

from application.ports.diagnosis import Check, passed
from infrastructure.postgres.sql import SCHEMA

_HOLDERS = b"""
    SELECT a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), coalesce(a.usename, 'unknown'),
        string_agg(DISTINCT c.relname, ', ' ORDER BY c.relname)
    FROM pg_locks AS l
    JOIN pg_class AS c ON c.oid = l.relation
    JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.granted
        AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND c.relkind = 'r'
        AND c.relnamespace = to_regnamespace(%s)
        AND a.pid <> pg_backend_pid()
    GROUP BY 1, 2, 3
    ORDER BY 1
"""


def check_locks(connection: Connection) -> Check:
    """Name the sessions that lock tables of the service as a whole."""
    holders = connection.execute(_HOLDERS, (SCHEMA,)).fetchall()
    if not holders:
        return passed("locks", "No session locks a table of the service")
    message = "; ".join(f"session {pid} ({name}, user {user}) locks {tables}" for pid, name, user, tables in holders)
    advice = "If it does not end by itself: SELECT pg_terminate_backend(<session>); the service waits for it"
    return Check(name="locks", state="warn", message=message[0].upper() + message[1:], advice=advice)
