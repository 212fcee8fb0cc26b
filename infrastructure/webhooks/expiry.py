"""Expiry of deliveries that were pending for too long, with an equal share for each organisation."""

from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement
from infrastructure.webhooks import metrics

_EXPIRED_ROWS = 500
_ORGANIZATIONS_MAX = 1000

# Steps from organisation to organisation by index, at most 1,000 from the last one of the run before, so that each has its turn
# and the cost does not grow with how much of any of them expires. Deliveries of leased lanes may be in flight; of those, the
# oldest are passed over.
_EXPIRE = statement("""
    WITH RECURSIVE turn AS (
        (
            SELECT organization_id, expires_at
            FROM {schema}.webhook_deliveries
            WHERE state = 'pending' AND (organization_id, expires_at) > (%(after)s, 'infinity'::timestamptz)
            ORDER BY organization_id, expires_at
            LIMIT 1
        )
        UNION ALL
        SELECT following.organization_id, following.expires_at
        FROM turn
        CROSS JOIN LATERAL (
            SELECT organization_id, expires_at
            FROM {schema}.webhook_deliveries
            WHERE state = 'pending' AND (organization_id, expires_at) > (turn.organization_id, 'infinity'::timestamptz)
            ORDER BY organization_id, expires_at
            LIMIT 1
        ) AS following
    ), page AS MATERIALIZED (
        SELECT organization_id, expires_at
        FROM turn
        LIMIT %(organizations)s
    ), due AS MATERIALIZED (
        SELECT organization_id, greatest(%(rows)s / count(*) OVER (), 1) AS share
        FROM page
        WHERE expires_at <= now()
    ), chosen AS MATERIALIZED (
        SELECT d.number
        FROM due
        CROSS JOIN LATERAL (
            SELECT d.number
            FROM (
                SELECT number, lane_id, due_at, leased_to
                FROM {schema}.webhook_deliveries
                WHERE state = 'pending' AND organization_id = due.organization_id AND expires_at <= now()
                ORDER BY expires_at
                LIMIT 2 * %(rows)s
            ) AS d
            JOIN {schema}.webhook_lanes AS l ON l.id = d.lane_id
            WHERE l.lease_until < now() AND (d.leased_to IS NULL OR d.due_at <= now())
            LIMIT due.share
        ) AS d
    ), expired AS (
        UPDATE {schema}.webhook_deliveries
        SET state = 'expired', finished_at = now(), leased_to = NULL
        WHERE number IN (
            SELECT number
            FROM {schema}.webhook_deliveries
            WHERE number = ANY(ARRAY(SELECT number FROM chosen)) AND state = 'pending'
            ORDER BY number
            FOR UPDATE SKIP LOCKED
        )
        RETURNING kind
    )
    SELECT
        (SELECT CASE WHEN count(*) = %(organizations)s THEN max(organization_id) ELSE 0 END FROM page),
        (SELECT array_agg(kind) FROM expired)
""")


class Expiry:
    """Sets pending deliveries past their lifetime to expired, in lanes that are not leased; organisations in turn."""

    def __init__(self) -> None:
        """Begin with the first organisation."""
        self._after = 0

    async def expire_deliveries(self, pool: Pool) -> None:
        """Expire a batch: an equal share of each of the next organisations in which anything is to expire."""
        values = {"after": self._after, "organizations": _ORGANIZATIONS_MAX, "rows": _EXPIRED_ROWS}
        async with pool.connection() as connection:
            row = await (await connection.execute(_EXPIRE, values)).fetchone()
        self._after, kinds = row or (0, None)
        for kind in kinds or ():
            metrics.ATTEMPTS.labels(kind, "expired").inc()
