"""Deletion of expired idempotency keys."""

from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement

_BATCH_ROWS = 1000
_BATCHES_MAX = 1000  # more than a minute of requests leaves; a longer backlog is continued at the next time
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
    """Delete keys that are older than 24 hours, a thousand in a transaction, at most a million; return how many.

    Each transaction has a deadline of its own. Raises StorageUnavailable.
    """
    deleted = 0
    for _ in range(_BATCHES_MAX):
        async with pool.connection() as connection:
            count = (await connection.execute(_DELETE, (_BATCH_ROWS,))).rowcount
        deleted += count
        if count < _BATCH_ROWS:
            break
    return deleted
