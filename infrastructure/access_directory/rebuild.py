"""Rebuild of the access directory. Its tables are written together with the log, so it takes the log's lock."""

from domain.streams import ORGANIZATION_PREFIX
from infrastructure.access_directory import projection
from infrastructure.event_log.append import append_batch
from infrastructure.event_log.codec import COLUMNS, decode_row
from infrastructure.event_log.identity import read_identity
from infrastructure.postgres.sessions import MAINTENANCE, open_connection
from infrastructure.postgres.sql import statement

ACCESS_DIRECTORY = "access_directory"
SUMMARY = "Which organisations, members, operators and tokens have access?"

_BATCH_ROWS = 1000

_END = ORGANIZATION_PREFIX.replace("/", "0")  # "0" follows "/" in ASCII
_HEAD = statement("SELECT coalesce(max(notification_id), 0) FROM {log}")
_FACTS = statement(f"""
    SELECT {COLUMNS}
    FROM {{log}}
    WHERE originator_id >= '{ORGANIZATION_PREFIX}' AND originator_id < '{_END}'
    ORDER BY notification_id
""")
_KEEP_USES = statement("""
    CREATE TEMPORARY TABLE kept_uses ON COMMIT DROP AS
    SELECT id, last_used_at
    FROM {schema}.tokens
    WHERE last_used_at IS NOT NULL
""")
_RESTORE_USES = statement("""
    UPDATE {schema}.tokens AS t SET last_used_at = k.last_used_at
    FROM kept_uses AS k
    WHERE k.id = t.id
""")


async def rebuild_access_directory(dsn: str) -> tuple[int, int]:
    """Empty and refill the directory's tables in one transaction; return the log's head and the count of facts applied.

    When a token was last used is not recorded as a fact; it is kept. Nothing can be appended meanwhile, but lookups go
    on. Raises StorageUnavailable, and UnknownFact when a fact cannot be decoded; then nothing is changed.
    """
    async with (
        open_connection(dsn, MAINTENANCE, "rebuild access_directory") as connection,
        connection.transaction(),
    ):
        await append_batch(connection, [])  # an empty batch takes the log's lock, too
        identity = await read_identity(connection)
        await connection.execute(_KEEP_USES)
        for table in projection.TABLES:
            await connection.execute(statement(f"DELETE FROM {{schema}}.{table}"))
        count = 0
        async with connection.cursor(name="facts", binary=True) as facts:
            await facts.execute(_FACTS)
            while rows := await facts.fetchmany(_BATCH_ROWS):
                await projection.apply(connection, [decode_row(row, identity) for row in rows])
                count += len(rows)
        await connection.execute(_RESTORE_USES)
        (head,) = await (await connection.execute(_HEAD)).fetchone() or (0,)
    return head, count
