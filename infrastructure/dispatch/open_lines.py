"""Counts of open callbacks by phone line."""

from collections.abc import Collection

from application.number_quota import OpenCount
from domain.callback.events import Leg
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement

# Index scans for each line, which end after as many rows as matter. A callback that waits for its client's line is found by
# that line only.
_COUNT = statement("""
    SELECT
        (SELECT position FROM {schema}.checkpoints WHERE name = 'keep_timetable'),
        (SELECT client_leg FROM {schema}.queue_slots WHERE queue_id = %s),
        array_agg(g.line) FILTER (WHERE w.callbacks > 0),
        array_agg(w.callbacks) FILTER (WHERE w.callbacks > 0)
    FROM unnest(%s::bigint[]) AS g (line),
        LATERAL (
        SELECT count(*) AS callbacks
        FROM (
            SELECT FROM {schema}.timetable WHERE b_line = g.line
            UNION ALL
            SELECT FROM {schema}.timetable WHERE a_line = g.line AND b_line <> g.line
            UNION ALL
            SELECT FROM {schema}.open_calls WHERE b_line = g.line
            UNION ALL
            SELECT FROM {schema}.open_calls WHERE a_line = g.line AND b_line <> g.line
            UNION ALL
            SELECT FROM {schema}.line_waits WHERE line = g.line
            LIMIT %s
        ) AS t
    ) AS w
""")


class PostgresOpenLines:
    """The port ``OpenLines`` on Postgres."""

    def __init__(self, reading: Pool) -> None:
        """Read over ``reading``."""
        self._reading = reading

    async def count(self, lines: Collection[int], at_most: int, queue_id: int | None = None) -> OpenCount:
        """See the port."""
        async with self._reading.connection() as connection:
            row = await (await connection.execute(_COUNT, (queue_id, list(lines), at_most))).fetchone()
        position, leg, found, counts = row or (0, None, None, None)
        return OpenCount(
            by_line=dict(zip(found or (), counts or (), strict=True)),
            position=position or 0,
            client_leg=Leg(leg) if leg else None,
        )
