"""Forgetting what Idempotency-Keys have done, a day later."""

from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement

_AT_ONCE = 1000
_FORGET = statement(
    "DELETE FROM {schema}.stored_events_claims WHERE digest IN (SELECT digest FROM {schema}.stored_events_claims"
    " WHERE claimed_at < now() - interval '24 hours' ORDER BY claimed_at LIMIT %s)"
)


async def delete_expired_idempotency_keys(pool: Pool) -> int:
    """Delete the claims that are older than 24 hours, a thousand in a transaction; answer how many. Raises StorageUnavailable."""
    forgotten = 0
    async with pool.connection() as connection:
        while count := (await connection.execute(_FORGET, (_AT_ONCE,))).rowcount:
            forgotten += count
    return forgotten
