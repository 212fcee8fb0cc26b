"""Building the access directory anew. It is written together with the log, so it is rebuilt under the log's lock."""

from psycopg import AsyncConnection

from infrastructure.access_directory import directory
from infrastructure.event_log.codec import COLUMNS, recorded
from infrastructure.event_log.log import call_door, read_identity
from infrastructure.postgres.connections import lost_database_is_storage_away
from infrastructure.postgres.sql import statement

ACCESS_DIRECTORY = "access_directory"

_AT_ONCE = 1000

_HEAD = statement("SELECT coalesce(max(notification_id), 0) FROM {log}")
_FACTS = statement(
    f"SELECT {COLUMNS} FROM {{log}} WHERE originator_id >= 'organization/' AND originator_id < 'organization0'"
    " ORDER BY notification_id"
)
_KEEP_USES = statement(
    "CREATE TEMPORARY TABLE kept_uses ON COMMIT DROP AS"
    " SELECT id, last_used_at FROM {schema}.tokens WHERE last_used_at IS NOT NULL"
)
_RESTORE_USES = statement(
    "UPDATE {schema}.tokens AS t SET last_used_at = k.last_used_at FROM kept_uses AS k WHERE k.id = t.id"
)


async def rebuild_access_directory(dsn: str) -> tuple[int, int]:
    """Empty and refill the directory's tables in one transaction; answer the log's head and the count of facts folded.

    When a token was last used is no fact, and is kept. Nothing is recorded meanwhile, but everybody can be looked up.
    Raises StorageUnavailable, and UnknownFact when a fact cannot be read; then nothing is changed.
    """
    async with (
        lost_database_is_storage_away(),
        await AsyncConnection.connect(dsn, autocommit=True) as connection,
        connection.transaction(),
    ):
        await call_door(connection, [])  # to record nothing takes the log's lock all the same
        identity = await read_identity(connection)
        await connection.execute(_KEEP_USES)
        for table in directory.TABLES:
            await connection.execute(statement(f"DELETE FROM {{schema}}.{table}"))
        count = 0
        async with connection.cursor(name="facts", binary=True) as facts:
            await facts.execute(_FACTS)
            while rows := await facts.fetchmany(_AT_ONCE):
                await directory.apply(connection, [recorded(row, identity) for row in rows])
                count += len(rows)
        await connection.execute(_RESTORE_USES)
        (head,) = await (await connection.execute(_HEAD)).fetchone() or (0,)
    return head, count
