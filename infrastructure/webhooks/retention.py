"""Periodic work beside delivering: delete old deliveries, and update gauges."""

from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement
from infrastructure.webhooks import metrics
from infrastructure.webhooks.outbox import KEPT_FOR

_COUNTED_MAX = 100_000
_BATCH_ROWS = 1000
_BATCHES_MAX = 1000  # more than a minute of deliveries leaves; a longer backlog is continued at the next time

_DELETE = statement("""
    WITH old AS (
        DELETE FROM {schema}.webhook_deliveries
        WHERE number IN (
                SELECT number
                FROM {schema}.webhook_deliveries
                ORDER BY number
                LIMIT %s
                FOR UPDATE SKIP LOCKED
            )
            AND recorded_at < now() - %s::interval
            AND state <> 'pending'
        RETURNING number
    ), attempts AS (
        DELETE FROM {schema}.webhook_attempts AS a
        USING old
        WHERE a.delivery_number = old.number
    )
    SELECT FROM old
""")
_PENDING = statement("""
    SELECT
        (SELECT count(*) FROM (SELECT FROM {schema}.webhook_deliveries WHERE state = 'pending' LIMIT %s) AS few),
        (
            SELECT extract(epoch FROM now() - min(d.due_at))
            FROM {schema}.webhook_lanes AS l
            CROSS JOIN LATERAL (
                SELECT due_at
                FROM {schema}.webhook_deliveries AS d
                WHERE d.lane_id = l.id AND d.state = 'pending'
                ORDER BY due_at
                LIMIT 1
            ) AS d
            WHERE l.ready_at <= now() AND l.ready_at < 'infinity'
        )
""")
_LANES = statement("""
    SELECT
        CASE
            WHEN open_until > now() THEN 'open'
            WHEN paused_until > now() THEN 'paused'
            WHEN lease_until > now() THEN 'leased'
            ELSE 'waiting'
        END AS state,
        count(*)
    FROM {schema}.webhook_lanes
    WHERE ready_at < 'infinity'
    GROUP BY 1
""")
_STATES = ("open", "paused", "leased", "waiting")


async def delete_old_deliveries(pool: Pool) -> None:
    """Delete deliveries, with their attempts, whose events are older than 30 days; at most a million.

    A thousand are examined in each transaction, which has a deadline of its own.
    """
    for _ in range(_BATCHES_MAX):
        async with pool.connection() as connection:
            if not (await connection.execute(_DELETE, (_BATCH_ROWS, KEPT_FOR))).rowcount:
                break


async def update_gauges(pool: Pool) -> None:
    """Set the gauges of pending deliveries and of lanes."""
    async with pool.connection() as connection:
        row = await (await connection.execute(_PENDING, (_COUNTED_MAX,))).fetchone()
        lanes = dict(await (await connection.execute(_LANES)).fetchall())
    pending, oldest = row or (0, None)
    metrics.PENDING.set(pending)
    metrics.OLDEST_DUE.set(max(0.0, float(oldest or 0)))
    for state in _STATES:
        metrics.LANES.labels(state).set(lanes.get(state, 0))
