"""Silence: whether a session that does not respond is busy, or its connection carries no more data."""

from collections.abc import Collection

from infrastructure.postgres.sessions import REQUEST, open_connection

_AT_WORK = """
    SELECT pid
    FROM pg_stat_activity
    WHERE pid = ANY(%s)
        AND (wait_event_type IS DISTINCT FROM 'Client' OR state_change > clock_timestamp() - interval '1 s')
"""


async def sessions_at_work(dsn: str, pids: Collection[int]) -> set[int]:
    """Return those of the login's sessions that are busy, or waited for their client for less than a second; ask over a new connection.

    Each of the others has ended, or waits for its client. If that client waits for the server, their connection carries no
    more data. Raises StorageUnavailable, UnsuitableDatabase.
    """
    async with open_connection(dsn, REQUEST, "silence") as connection:
        rows = await (await connection.execute(_AT_WORK, (list(pids),))).fetchall()
    return {pid for (pid,) in rows}
