"""Room for connections: how many more the server, the database and the login allow."""

import msgspec
from psycopg import Connection

_ROOM = b"""
    WITH sessions AS (
        SELECT count(*) AS used,
            count(*) FILTER (WHERE usename = session_user) AS of_login,
            count(*) FILTER (WHERE datname = current_database()) AS of_database,
            count(*) FILTER (WHERE application_name LIKE 'perezvon %') AS ours
        FROM pg_stat_activity
        WHERE usename IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend' -- null: another login's
    )
    SELECT s.used, s.ours, least(
            current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true), '0')::int - s.used,
            nullif(r.rolconnlimit, -1) - s.of_login,
            nullif(d.datconnlimit, -1) - s.of_database
        )
    FROM sessions AS s, pg_roles AS r, pg_database AS d
    WHERE r.rolname = session_user AND d.datname = current_database()
"""


class Room(msgspec.Struct, frozen=True):
    """The connections of the server that are in use, those of them that perezvon opened, and how many more it may open."""

    used: int
    ours: int
    free: int


def room_for_connections(connection: Connection) -> Room:
    """Return how many connections the login may still open: the least of what server, database and login allow."""
    used, ours, free = connection.execute(_ROOM).fetchone() or (0, 0, 0)
    return Room(used, ours, max(0, free))
