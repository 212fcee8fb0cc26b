"""The order of due callbacks: round-robin over organisations, then over their queues; the oldest of a queue is first."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice
from math import inf

import msgspec
from psycopg import AsyncConnection

from domain.streams import callback_stream
from infrastructure.postgres.sql import statement

# Callbacks that wait in a queue. If the queue has a client leg, callbacks whose client has a call now are left out. The
# call is looked up by index in a subquery. Inside coalesce() the planner does not estimate that the condition is rarely
# true; with that estimate it would sort all due callbacks.
_LINE = "CASE s.client_leg WHEN 'a' THEN t.a_line WHEN 'b' THEN t.b_line END"
_WAITING = f"""
            FROM {{schema}}.timetable AS t
            WHERE t.queue_id = s.queue_id
                AND t.callback_id <> ALL(%(quarantined)s)
                AND (
                    s.client_leg IS NULL
                    OR coalesce((SELECT false FROM {{schema}}.open_calls AS c WHERE c.client_line = {_LINE} LIMIT 1), true)
                )"""
_CAN_START = "s.is_on AND NOT s.is_deleted AND s.taken < s.slots"

# Planned at each execution: a plan made for an empty timetable would be kept when it is full.
_NEXT = statement(f"""
    SELECT min(extract(epoch FROM next.due_at - clock_timestamp()))::float8
    FROM {{schema}}.queue_slots AS s,
        LATERAL (
            SELECT t.due_at {_WAITING}
            ORDER BY t.due_at
            LIMIT 1
        ) AS next
    WHERE {_CAN_START}
""")
# At most as many queues as requested calls, in round-robin order; locked in the order that all transactions use.
_LOCK = statement(f"""
    WITH organizations AS MATERIALIZED (
        SELECT organization_id, max(served_at) AS served_at
        FROM {{schema}}.queue_slots
        GROUP BY organization_id
    ), able AS (
        SELECT s.queue_id, o.served_at, o.organization_id,
            row_number() OVER (PARTITION BY o.organization_id ORDER BY s.served_at, s.queue_id) AS round
        FROM {{schema}}.queue_slots AS s
        JOIN organizations AS o USING (organization_id),
            LATERAL (
            SELECT {_WAITING}
                AND t.due_at <= now()
            ORDER BY t.due_at
            LIMIT 1
        ) AS oldest
        WHERE {_CAN_START}
    )
    SELECT extract(epoch FROM o.served_at)::float8, o.organization_id, extract(epoch FROM s.served_at)::float8,
        s.queue_id, s.slots - s.taken, s.client_leg,
        (SELECT settings->>'caller_id' FROM {{schema}}.organizations WHERE id = s.organization_id)
    FROM {{schema}}.queue_slots AS s
    JOIN organizations AS o USING (organization_id)
    WHERE s.queue_id = ANY(ARRAY(
            SELECT queue_id FROM able ORDER BY round, served_at, organization_id LIMIT %(limit)s
        ))
        AND {_CAN_START}
    ORDER BY s.queue_id
    FOR UPDATE OF s
""")
_DEQUEUE = statement(f"""
    WITH due AS (
        SELECT next.*
        FROM unnest(%(queues)s::bigint[], %(shares)s::int[]) AS g (queue_id, share)
        JOIN {{schema}}.queue_slots AS s USING (queue_id),
            LATERAL (
            SELECT t.callback_id, t.due_at, {_LINE} AS client_line {_WAITING}
                AND t.due_at <= now()
            ORDER BY t.due_at, t.callback_id
            LIMIT g.share
        ) AS next
    ), clients AS (
        SELECT callback_id, client_line,
            row_number() OVER (PARTITION BY client_line ORDER BY due_at, callback_id) AS call
        FROM due
    )
    DELETE FROM {{schema}}.timetable
    WHERE callback_id = ANY(ARRAY(SELECT callback_id FROM clients WHERE client_line IS NULL OR call = 1))
    RETURNING due_at, callback_id, queue_id, position, a_line, b_line
""")


class QueueTurn(msgspec.Struct, frozen=True, order=True):
    """A queue with due callbacks and free slots. Turns sort by their fields: the queue served longest ago is first.

    Times are in seconds since 1970.

    ``shown_number`` is the caller number of its organisation, if it has one.
    """

    organization_served_at: float
    organization_id: int
    served_at: float
    queue_id: int
    free: int
    client_leg: str | None
    shown_number: str | None


class DueCallback(msgspec.Struct, frozen=True):
    """A row removed from the timetable.

    ``client_line`` is the key of the client's phone line, where the queue allows a client one call at a time;
    ``shown_number`` as in QueueTurn.
    """

    callback_id: int
    queue_id: int
    organization_id: int
    due_at: datetime
    position: int
    client_line: int | None
    shown_number: str | None

    @property
    def stream(self) -> str:
        """The callback's stream."""
        return callback_stream(self.callback_id)


# due_at, callback_id, queue_id, position, a_line, b_line
_Row = tuple[datetime, int, int, int, int | None, int | None]


async def dequeue(connection: AsyncConnection, quarantined: Sequence[int], limit: int) -> list[DueCallback]:
    """Remove at most ``limit`` due callbacks from the timetable, in their turn, and lock the slots of their queues.

    A queue with fewer due callbacks than its share leaves the rest to the next batch.
    """
    cursor = connection.cursor(binary=True)
    await cursor.execute(_LOCK, {"quarantined": quarantined, "limit": limit}, prepare=False)
    turns = [*islice(round_robin([QueueTurn(*row) for row in await cursor.fetchall()]), limit)]
    if not turns:
        return []
    shares = Counter(turn.queue_id for turn in turns)
    values = {"quarantined": quarantined, "queues": [*shares.keys()], "shares": [*shares.values()]}
    await cursor.execute(_DEQUEUE, values, prepare=False)
    rows: dict[int, deque[_Row]] = {queue_id: deque() for queue_id in shares}
    for row in sorted(await cursor.fetchall()):
        rows[row[2]].append(row)
    return [_due_callback(rows[turn.queue_id].popleft(), turn) for turn in turns if rows[turn.queue_id]]


def round_robin(turns: Iterable[QueueTurn]) -> Iterator[QueueTurn]:
    """Yield the queue of each next call, until all free slots are assigned."""
    by_organization = groupby(sorted(turns), key=lambda turn: turn.organization_id)
    organizations = deque(deque((turn, turn.free) for turn in queues) for _, queues in by_organization)
    while organizations:
        queues = organizations.popleft()
        turn, free = queues.popleft()
        yield turn
        if free > 1:
            queues.append((turn, free - 1))
        if queues:
            organizations.append(queues)


async def seconds_to_next(connection: AsyncConnection, quarantined: Sequence[int]) -> float:
    """Return the seconds until a callback can be dequeued: 0 or less is at once, infinite is after some change."""
    row = await (await connection.execute(_NEXT, {"quarantined": quarantined}, prepare=False)).fetchone()
    return inf if row is None or row[0] is None else row[0]


def _due_callback(row: _Row, turn: QueueTurn) -> DueCallback:
    due_at, callback_id, queue_id, position, a_line, b_line = row
    line = {"a": a_line, "b": b_line}.get(turn.client_leg or "")
    return DueCallback(callback_id, queue_id, turn.organization_id, due_at, position, line, turn.shown_number)
