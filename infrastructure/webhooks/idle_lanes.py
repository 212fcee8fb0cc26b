"""Deletion of idle lanes: those that were not leased for so long that no delivery names them any more."""

from datetime import timedelta
from uuid import UUID

import structlog

from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement
from infrastructure.webhooks.outbox import KEPT_FOR

_EXAMINED_LANES = 1000
_IDLE_FOR = KEPT_FOR + timedelta(days=1)
_FIRST_LANE = UUID(int=0)

_IDLE = """
    ready_at = 'infinity' AND lease_until < now() AND greatest(paused_until, open_until) < now()
    AND released_at < now() - %s::interval
"""
_FIND_IDLE = statement(f"""
    WITH page AS MATERIALIZED (
        SELECT *
        FROM {{schema}}.webhook_lanes
        WHERE id > %s
        ORDER BY id
        LIMIT %s
    )
    SELECT
        (SELECT id FROM page ORDER BY id DESC LIMIT 1),
        (SELECT array_agg(id) FROM page WHERE {_IDLE})
""")
# A transaction that adds deliveries to a lane holds ROW EXCLUSIVE, which this lock waits for. Transactions that begin later wait
# for this one, and see that the lane is gone.
_LOCK_LANES = statement("""
    SET LOCAL lock_timeout = '50ms';
    LOCK TABLE {schema}.webhook_lanes IN SHARE ROW EXCLUSIVE MODE
""")
_DELETE_LANES = statement(f"DELETE FROM {{schema}}.webhook_lanes WHERE id = ANY(%s) AND {_IDLE}")

_logger = structlog.get_logger(__name__)


class IdleLanes:
    """Deletes idle lanes. Their breakers are out of date by then, and a new delivery to the host creates the lane again."""

    def __init__(self) -> None:
        """Begin with the first lane."""
        self._after = _FIRST_LANE

    async def delete_idle_lanes(self, pool: Pool) -> None:
        """Examine the next thousand lanes, and delete those that are idle.

        Raises StorageUnavailable, after a twentieth of a second, while others write lanes: the next run tries again.
        """
        async with pool.connection() as connection:
            last, idle = await (
                await connection.execute(_FIND_IDLE, (self._after, _EXAMINED_LANES, _IDLE_FOR))
            ).fetchone() or (None, None)
            if idle:
                async with connection.transaction():
                    await connection.execute(_LOCK_LANES)
                    deleted = await connection.execute(_DELETE_LANES, (idle, _IDLE_FOR))
                _logger.info("idle lanes deleted", lanes=deleted.rowcount)
        self._after = last or _FIRST_LANE
