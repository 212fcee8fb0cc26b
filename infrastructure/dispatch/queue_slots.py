"""Slots of queues: the rows that dispatching and the timetable share."""

from collections.abc import Iterable

from psycopg import AsyncConnection

from infrastructure.postgres.sql import statement

_LOCK = statement("""
    SELECT
    FROM unnest(%s::bigint[]) AS q (queue_id),
        LATERAL (
        SELECT
        FROM {schema}.queue_slots
        WHERE queue_id = q.queue_id
        ORDER BY revision DESC
        LIMIT 1
        FOR UPDATE
    ) AS s
""")


async def lock_slots(connection: AsyncConnection, queue_ids: Iterable[int]) -> None:
    """Lock the slots of queues until the transaction ends, in the order of all transactions that lock several."""
    await connection.execute(_LOCK, (sorted(queue_ids),))
