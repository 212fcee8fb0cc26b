"""Callbacks that wait for the end of a call with their client, set apart from the timetable.

So a search for due callbacks does not pass over the many that wait for one busy number. A callback is set apart when a batch
meets it while the line is busy; when the line is free, the oldest of each queue goes back.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from psycopg import AsyncConnection

from infrastructure.dispatch.due_queue import DueCallback
from infrastructure.postgres.sql import statement


def moved_to_timetable(chosen: str) -> str:
    """Return the SQL that moves the callbacks whose ids ``chosen`` selects, as the tables ``free`` and ``back`` of a query."""
    return f"""free AS (
        DELETE FROM {{schema}}.line_waits
        WHERE callback_id = ANY(ARRAY({chosen}))
        RETURNING callback_id, queue_id, organization_id, due_at, position, a_line, b_line
    ), back AS (
        INSERT INTO {{schema}}.timetable (callback_id, queue_id, organization_id, due_at, position, a_line, b_line)
        SELECT callback_id, queue_id, organization_id, due_at, position, a_line, b_line
        FROM free
        ON CONFLICT DO NOTHING
    )"""


_SET_APART = statement("""
    WITH busy AS (
        DELETE FROM {schema}.timetable AS t
        USING unnest(%s::bigint[], %s::bigint[]) AS b (callback_id, line)
        WHERE t.callback_id = b.callback_id
        RETURNING t.callback_id, t.queue_id, t.organization_id, t.due_at, t.position, t.a_line, t.b_line, b.line
    )
    INSERT INTO {schema}.line_waits (callback_id, queue_id, organization_id, due_at, position, a_line, b_line, line)
    SELECT callback_id, queue_id, organization_id, due_at, position, a_line, b_line, line
    FROM busy
    ON CONFLICT DO NOTHING
""")
# Steps from queue to queue of a line by index.
_TAKE_BACK = statement(
    """
    WITH RECURSIVE oldest AS (
        SELECT l.line, w.queue_id, w.callback_id
        FROM unnest(%s::bigint[]) AS l (line),
            LATERAL (
            SELECT queue_id, callback_id
            FROM {schema}.line_waits
            WHERE line = l.line
            ORDER BY queue_id, due_at, callback_id
            LIMIT 1
        ) AS w
        UNION ALL
        SELECT o.line, w.queue_id, w.callback_id
        FROM oldest AS o,
            LATERAL (
            SELECT queue_id, callback_id
            FROM {schema}.line_waits
            WHERE line = o.line AND queue_id > o.queue_id
            ORDER BY queue_id, due_at, callback_id
            LIMIT 1
        ) AS w
    ), <moved>
    SELECT organization_id, min(due_at)
    FROM free
    GROUP BY organization_id
""".replace("<moved>", moved_to_timetable("SELECT callback_id FROM oldest"))
)
# Steps from line to line by index.
_IDLE_LINES = statement("""
    WITH RECURSIVE lines AS (
        (SELECT line FROM {schema}.line_waits ORDER BY line LIMIT 1)
        UNION ALL
        SELECT next.line
        FROM lines AS l,
            LATERAL (SELECT line FROM {schema}.line_waits WHERE line > l.line ORDER BY line LIMIT 1) AS next
    )
    SELECT line
    FROM lines AS l
    WHERE NOT EXISTS (SELECT FROM {schema}.open_calls AS c WHERE c.client_line = l.line)
    LIMIT 1000
""")


async def set_apart(connection: AsyncConnection, busy: Sequence[DueCallback]) -> None:
    """Move locked rows of the timetable, whose clients' lines are busy."""
    if busy:
        values = ([one.callback_id for one in busy], [one.client_line for one in busy])
        await connection.execute(_SET_APART, values, prepare=True)


async def take_back(connection: AsyncConnection, lines: Iterable[int]) -> Mapping[int, datetime]:
    """Return the oldest callback of each line and queue to the timetable; return the first due time by organisation."""
    rows = await (await connection.execute(_TAKE_BACK, (list(lines),), prepare=False)).fetchall()
    return dict(rows)


async def idle_lines(connection: AsyncConnection) -> list[int]:
    """Return lines that callbacks wait for although no call with them runs: after a crash, or a callback was deleted."""
    return [line for (line,) in await (await connection.execute(_IDLE_LINES, prepare=False)).fetchall()]
