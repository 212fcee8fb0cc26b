"""Deletion of expired idempotency keys."""

from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement

_BATCH_ROWS = 1000
_DELETE = statement("""
    DELETE FROM {schema}.stored_events_claims
    WHERE digest IN (
        SELECT digest
        FROM {schema}.stored_events_claims
        WHERE claimed_at < now() - interval '24 hours'
        ORDER BY claimed_at
        LIMIT %s
    )
""")


async def delete_expired_idempotency_keys(pool: Pool) -> int:
    """Delete the keys that are older than 24 hours, a thousand in a transaction; return how many.

    Raises StorageUnavailable.
    """
    deleted = 0
    async with pool.connection() as connection:
        while count := (await connection.execute(_DELETE, (_BATCH_ROWS,))).rowcount:
            deleted += count
    return deleted
