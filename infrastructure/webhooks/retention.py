"""Periodic work beside delivering: delete old deliveries, and update gauges."""

from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement
from infrastructure.webhooks import metrics
from infrastructure.webhooks.outbox import KEPT_FOR

_COUNTED_MAX = 100_000
_BATCH_ROWS = 1000
_BATCHES_MAX = 1000  # more than a minute of deliveries leaves; a longer backlog is continued at the next time

# Passes over pending deliveries: those of one organisation must not keep those of all others. Returns the last number that
# was examined, null after the last old delivery.
_DELETE = statement("""
    WITH page AS MATERIALIZED (
        SELECT number, recorded_at < now() - %(kept_for)s::interval AS is_old
        FROM {schema}.webhook_deliveries
        WHERE number > %(after)s
        ORDER BY number
        LIMIT %(rows)s
    ), old AS (
        DELETE FROM {schema}.webhook_deliveries
        WHERE number IN (
                SELECT number
                FROM {schema}.webhook_deliveries
                WHERE number IN (SELECT number FROM page WHERE is_old) AND state <> 'pending'
                ORDER BY number
                FOR UPDATE SKIP LOCKED
            )
        RETURNING number
    ), attempts AS (
        DELETE FROM {schema}.webhook_attempts AS a
        USING old
        WHERE a.delivery_number = old.number
    )
    SELECT CASE WHEN count(*) = %(rows)s AND bool_and(is_old) THEN max(number) END
    FROM page
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
    after: int | None = 0
    for _ in range(_BATCHES_MAX):
        async with pool.connection() as connection:
            values = {"after": after, "rows": _BATCH_ROWS, "kept_for": KEPT_FOR}
            row = await (await connection.execute(_DELETE, values)).fetchone()
        after = row[0] if row else None
        if after is None:
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
