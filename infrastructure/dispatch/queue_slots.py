"""Slots of queues: the rows that dispatching and the timetable share."""

from collections.abc import Iterable

from psycopg import AsyncConnection

from infrastructure.postgres.sql import statement

NEWEST_LOCKED = """LATERAL (
        SELECT *
        FROM {schema}.queue_slots
        WHERE queue_id = q.queue_id
        ORDER BY revision DESC
        LIMIT 1
        FOR UPDATE
    )"""
"""Part of a statement: the slots of each queue of ``q``, locked in the order of its rows, without a look at older versions."""

_LOCK = statement(f"SELECT FROM unnest(%s::bigint[]) AS q (queue_id), {NEWEST_LOCKED} AS s")


async def lock_slots(connection: AsyncConnection, queue_ids: Iterable[int]) -> None:
    """Lock the slots of queues until the transaction ends, in the order of all transactions that lock several."""
    await connection.execute(_LOCK, (sorted(queue_ids),))
