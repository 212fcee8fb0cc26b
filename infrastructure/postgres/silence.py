"""Silence: distinguishes a busy session from a connection that carries no more data, by a query over a new one."""

from collections.abc import Collection

from infrastructure.postgres.sessions import REQUEST, open_connection

_AT_WORK = """
    SELECT pid
    FROM pg_stat_activity
    WHERE pid = ANY(%s)
        AND (wait_event_type IS DISTINCT FROM 'Client' OR state_change > clock_timestamp() - interval '1 s')
"""


async def sessions_at_work(dsn: str, pids: Collection[int]) -> set[int]:
    """Return those of the login's sessions that do something else than wait for their client.

    What the others have sent, or were sent, has not arrived, if their client waits for a second too; or they have ended.
    Raises StorageUnavailable, UnsuitableDatabase.
    """
    async with open_connection(dsn, REQUEST, "silence") as connection:
        rows = await (await connection.execute(_AT_WORK, (list(pids),))).fetchall()
    return {pid for (pid,) in rows}
