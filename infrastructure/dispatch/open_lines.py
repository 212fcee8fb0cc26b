"""Counts of open callbacks by phone line."""

from collections.abc import Collection

from application.number_quota import OpenCount
from application.time_budget import current_owner
from domain.callback.events import Leg
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.postgres.sql import statement

# One scan of the calls that run, which are few, and index scans for each line, which end after as many rows as matter.
# A callback that waits for its client's line is found by that line only. Outside numbers have positive keys.
_COUNT = statement("""
    SELECT
        (SELECT position FROM {schema}.checkpoints WHERE name = 'keep_timetable'),
        (SELECT position FROM {schema}.checkpoints WHERE name = 'carry_out_callback_tasks'),
        (SELECT max(notification_id) FROM {log}),
        (SELECT client_leg FROM {schema}.queue_slots WHERE queue_id = %(queue)s ORDER BY revision DESC LIMIT 1),
        array_agg(g.line),
        array_agg(coalesce(running.calls, 0) + w.callbacks)
    FROM unnest(%(lines)s::bigint[]) AS g (line)
    LEFT JOIN (
        SELECT leg.line, count(*) AS calls
        FROM {schema}.open_calls AS o
        CROSS JOIN LATERAL (SELECT o.a_line UNION SELECT o.b_line) AS leg (line)
        WHERE o.a_line = ANY(%(lines)s::bigint[]) OR o.b_line = ANY(%(lines)s::bigint[])
        GROUP BY leg.line
    ) AS running ON running.line = g.line
    CROSS JOIN LATERAL (
        SELECT count(*) AS callbacks
        FROM (
            SELECT FROM {schema}.timetable WHERE b_line = g.line AND b_line > 0
            UNION ALL
            SELECT FROM {schema}.timetable WHERE a_line = g.line AND a_line > 0 AND b_line <> g.line
            UNION ALL
            SELECT FROM {schema}.line_waits WHERE line = g.line
            LIMIT %(at_most)s
        ) AS t
    ) AS w
""")


class PostgresOpenLines:
    """The port ``OpenLines`` on Postgres."""

    def __init__(self, reading: SharedPool) -> None:
        """Read over ``reading``: the numbers of a full batch take a tenth of a second."""
        self._reading = reading

    async def count(self, lines: Collection[int], at_most: int, queue_id: int | None = None) -> OpenCount:
        """See the port."""
        values = {"queue": queue_id, "lines": list(lines), "at_most": at_most}
        async with self._reading.connection(current_owner()) as connection:
            row = await (await connection.execute(_COUNT, values)).fetchone()
        position, tasks_position, head, leg, found, counts = row or (0, 0, 0, None, None, None)
        return OpenCount(
            by_line=dict(zip(found or (), counts or (), strict=True)),
            position=position or 0,
            tasks_position=tasks_position or 0,
            head=head or 0,
            client_leg=Leg(leg) if leg else None,
        )
