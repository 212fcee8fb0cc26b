"""Checks of the server: whether it accepts changes, and has connections left for the service."""

from psycopg import Connection

from application.ports.diagnosis import Check, passed
from infrastructure.postgres.connections import API_CONNECTIONS, WORKER_CONNECTIONS
from infrastructure.postgres.room import room_for_connections

_FEW = 3
_IS_READ_ONLY = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"


def check_writable(connection: Connection) -> Check:
    """Check that the database accepts changes: a standby does not."""
    is_standby, is_read_only = connection.execute(_IS_READ_ONLY).fetchone() or (False, False)
    if is_standby or is_read_only:
        what = "This server is a standby" if is_standby else "The database is read-only"
        return Check(
            name="writable",
            state="fail",
            message=f"{what}: every change is refused with 503",
            advice="Name all servers in PEREZVON_DATABASE_URL, with target_session_attrs=read-write (docs/operations.md)",
        )
    return passed("writable", "The database accepts changes")


def check_connections(connection: Connection) -> Check:
    """Check that connections are left for one more API and one more worker, as an upgrade needs them."""
    room, pair = room_for_connections(connection), API_CONNECTIONS + WORKER_CONNECTIONS
    message = (
        f"{room.used} connections are in use, {room.ours} of them by perezvon, and {room.free} are left for it; an API needs at"
        f" most {API_CONNECTIONS}, a worker {WORKER_CONNECTIONS}"
    )
    advice = (
        "Raise max_connections, or the CONNECTION LIMIT of the login or the database, or run fewer processes"
        " (docs/operations.md, Connections)"
    )
    if room.free < pair:
        return Check(name="connections", state="fail" if room.free < _FEW else "warn", message=message, advice=advice)
    return passed("connections", message)
