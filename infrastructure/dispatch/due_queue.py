"""The order of due callbacks: round-robin over organisations, then over their queues; the oldest of a queue is first.

A search names the organisations whose turn it is (``organization_turns``) and reads a bounded number of index entries for
each, however many queues and callbacks there are.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice

import msgspec
from psycopg import AsyncConnection, AsyncCursor

from application.phone_line_key import line_keys
from application.queries.queue_board import Idle
from domain.callback.events import CallbackDetails
from domain.streams import callback_stream
from infrastructure.dispatch.queue_slots import NEWEST_LOCKED
from infrastructure.postgres.sql import statement

BUSY_ROWS_MAX = 200
"""How many callbacks of a queue a batch examines beyond its share, where the lines of clients may be busy."""

# Planned at each execution: a plan made for empty tables would be kept when they are full.
_NEXT = statement("""
    SELECT o.organization_id, next.startable_at, next.startable_at <= clock_timestamp(), clock_timestamp()
    FROM unnest(%(organizations)s::bigint[], %(floors)s::timestamptz[]) AS o (organization_id, floor)
    LEFT JOIN LATERAL (
        SELECT startable_at
        FROM {schema}.queue_slots
        WHERE organization_id = o.organization_id AND startable_at >= o.floor
        ORDER BY startable_at
        LIMIT 1
    ) AS next ON true
""")
# Locked in the order that all transactions use.
_LOCK = statement(
    """
    SELECT s.organization_id, s.startable_at, s.queue_id, s.slots - s.taken, s.client_leg,
        (SELECT settings->>'caller_id' FROM {schema}.organizations WHERE id = s.organization_id),
        s.next_due_at, s.next_callback_id
    FROM unnest(ARRAY(
            SELECT DISTINCT turn.queue_id
            FROM unnest(%(organizations)s::bigint[], %(floors)s::timestamptz[]) AS o (organization_id, floor),
                LATERAL (
                SELECT queue_id
                FROM {schema}.queue_slots
                WHERE organization_id = o.organization_id
                    AND startable_at >= o.floor
                    AND startable_at <= statement_timestamp()
                ORDER BY startable_at
                LIMIT %(each)s
            ) AS turn
            ORDER BY turn.queue_id
        )) AS q (queue_id),
        <newest> AS s
    WHERE s.startable_at <= statement_timestamp()
""".replace("<newest>", NEWEST_LOCKED)
)
# Rows that keep_timetable is deleting are skipped: it may wait for this transaction.
_PICK = statement("""
    SELECT t.due_at, t.callback_id, g.queue_id, t.position, t.a_line, t.b_line,
        g.leg IS NOT NULL AND coalesce((
            SELECT true
            FROM {schema}.open_calls AS c
            WHERE c.client_line = CASE g.leg WHEN 'a' THEN t.a_line ELSE t.b_line END
            LIMIT 1
        ), false)
    FROM unnest(
            %(queues)s::bigint[], %(rows)s::int[], %(legs)s::text[], %(due)s::timestamptz[], %(ids)s::bigint[]
        ) AS g (queue_id, rows, leg, due_at, callback_id),
        LATERAL (
        SELECT due_at, callback_id, position, a_line, b_line
        FROM {schema}.timetable
        WHERE queue_id = g.queue_id
            AND (due_at, callback_id) >= (g.due_at, g.callback_id)
            AND due_at <= statement_timestamp()
        ORDER BY due_at, callback_id
        LIMIT g.rows
        FOR UPDATE SKIP LOCKED
    ) AS t
""")
_FIRST = statement("""
    SELECT g.queue_id, t.due_at, t.callback_id
    FROM unnest(%(queues)s::bigint[], %(due)s::timestamptz[], %(ids)s::bigint[]) AS g (queue_id, due_at, callback_id),
        LATERAL (
        SELECT due_at, callback_id
        FROM {schema}.timetable
        WHERE queue_id = g.queue_id AND (due_at, callback_id) >= (g.due_at, g.callback_id)
        ORDER BY due_at, callback_id
        LIMIT 1
    ) AS t
""")
_DELETE = statement("DELETE FROM {schema}.timetable WHERE callback_id = ANY(%s)")
_POSTPONE = statement("""
    UPDATE {schema}.timetable AS t
    SET due_at = p.due_at, held_by = %s
    FROM unnest(%s::bigint[], %s::timestamptz[]) AS p (callback_id, due_at)
    WHERE t.callback_id = p.callback_id
""")


class QueueTurn(msgspec.Struct, frozen=True, order=True):
    """A queue whose turn has come, and that has free slots. Turns of an organisation sort by their fields.

    ``shown_number`` is the caller number of its organisation, if it has one. No row of the queue in the timetable is before
    ``next_due_at`` and ``next_callback_id``.
    """

    organization_id: int
    startable_at: datetime
    queue_id: int
    free: int
    client_leg: str | None
    shown_number: str | None
    next_due_at: datetime
    next_callback_id: int


class DueCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A due row of the timetable, locked.

    ``client_line`` is the key of the client's phone line, where the queue allows a client one call at a time, and
    ``is_line_busy`` whether a call with it runs; ``a_line`` and ``b_line`` are the keys of both numbers.
    ``shown_number`` as in QueueTurn.
    """

    callback_id: int
    queue_id: int
    organization_id: int
    due_at: datetime
    position: int
    a_line: int | None
    b_line: int | None
    client_line: int | None
    is_line_busy: bool
    shown_number: str | None

    @property
    def stream(self) -> str:
        """The callback's stream."""
        return callback_stream(self.callback_id)

    def lines(self, numbers: CallbackDetails) -> tuple[int, int]:
        """Return the keys of the lines of its numbers, which are ``numbers``."""
        if self.a_line is None or self.b_line is None:
            return line_keys(self.organization_id, numbers.a_number, numbers.b_number)
        return self.a_line, self.b_line


# queue_id, due_at, callback_id
FirstRow = tuple[int, datetime, int]
# due_at, callback_id, queue_id, position, a_line, b_line, is_line_busy
_Row = tuple[datetime, int, int, int, int | None, int | None, bool]


class Startable(msgspec.Struct, frozen=True):
    """Result of a search at the database's time ``now``: when each organisation's next queue may start a call."""

    next_at: Mapping[int, datetime | None]
    is_any_due: bool
    now: datetime


async def find_startable(
    connection: AsyncConnection, organizations: Sequence[int], floors: Sequence[datetime]
) -> Startable:
    """Search the queues of at least one organisation from its floor on."""
    values = {"organizations": organizations, "floors": floors}
    rows = await (await connection.execute(_NEXT, values, prepare=False)).fetchall()
    return Startable({row[0]: row[1] for row in rows}, any(row[2] for row in rows), rows[0][3])


async def lock_turns(
    connection: AsyncConnection, organizations: Sequence[int], floors: Sequence[datetime], limit: int
) -> list[QueueTurn]:
    """Lock the slots of the queues whose turn it is: for a batch of ``limit`` calls of these organisations."""
    each = -(-2 * limit // max(1, len(organizations)))  # twice an equal share: some organisations have less than theirs
    values = {"organizations": organizations, "floors": floors, "each": each}
    cursor = connection.cursor(binary=True)
    await cursor.execute(_LOCK, values, prepare=False)
    return [QueueTurn(*row) for row in await cursor.fetchall()]


def round_robin(
    turns: Iterable[QueueTurn], order: Sequence[int], has_place: Callable[[int], bool]
) -> Iterator[QueueTurn]:
    """Yield the queue of each next call, organisations in ``order``, until all free slots are assigned.

    ``has_place`` takes a place of the organisation for one more call, or returns False: then it has no further turn.
    """
    by_organization: dict[int, deque[tuple[QueueTurn, int]]] = defaultdict(deque)
    for turn in sorted(turns):
        by_organization[turn.organization_id].append((turn, turn.free))
    organizations = deque(by_organization[one] for one in order if one in by_organization)
    while organizations:
        queues = organizations.popleft()
        if not has_place(queues[0][0].organization_id):
            continue
        turn, free = queues.popleft()
        yield turn
        if free > 1:
            queues.append((turn, free - 1))
        if queues:
            organizations.append(queues)


def deal(
    turns: Iterable[QueueTurn], order: Sequence[int], limit: int, has_place: Callable[[int], bool]
) -> list[QueueTurn]:
    """Return the queue of each call of a batch, at most ``limit`` of them, in the order of ``round_robin``."""
    return [*islice(round_robin(turns, order, has_place), limit)]


async def pick(connection: AsyncConnection, dealt: Sequence[QueueTurn]) -> list[list[DueCallback]]:
    """Lock due rows for the calls that were dealt: those of each queue, oldest first, in the order of the queues' turns.

    A queue with fewer due callbacks than its share leaves the rest to the next batch; one that limits the calls of a
    client may get more rows than its share.
    """
    shares = Counter(dealt)
    values = {
        "queues": [turn.queue_id for turn in shares],
        "rows": [share + (BUSY_ROWS_MAX if turn.client_leg else 0) for turn, share in shares.items()],
        "legs": [turn.client_leg for turn in shares],
        "due": [turn.next_due_at for turn in shares],
        "ids": [turn.next_callback_id for turn in shares],
    }
    cursor = connection.cursor(binary=True)
    await cursor.execute(_PICK, values, prepare=False)
    rows: dict[int, list[_Row]] = {turn.queue_id: [] for turn in shares}
    for row in await cursor.fetchall():
        rows[row[2]].append(row)
    return [[_due_callback(row, turn) for row in sorted(rows[turn.queue_id])] for turn in shares]


async def remove(connection: AsyncConnection, callback_ids: Sequence[int]) -> None:
    """Delete rows of the timetable that are locked."""
    await connection.execute(_DELETE, (callback_ids,), prepare=True)


async def postpone(connection: AsyncConnection, until: Mapping[int, datetime], held_by: Idle) -> None:
    """Make callbacks due at a later time; nothing is recorded. The queue board shows the reason ``held_by``."""
    if until:
        await connection.execute(_POSTPONE, (held_by, [*until.keys()], [*until.values()]), prepare=True)


async def select_first_rows(connection: AsyncConnection, turns: Iterable[QueueTurn]) -> AsyncCursor[FirstRow]:
    """Select the first row of each locked queue that is left; the caller fetches them with a later round trip."""
    turns = list(turns)
    values = {
        "queues": [turn.queue_id for turn in turns],
        "due": [turn.next_due_at for turn in turns],
        "ids": [turn.next_callback_id for turn in turns],
    }
    return await connection.execute(_FIRST, values, prepare=False)


def _due_callback(row: _Row, turn: QueueTurn) -> DueCallback:
    due_at, callback_id, queue_id, position, a_line, b_line, is_line_busy = row
    return DueCallback(
        callback_id=callback_id,
        queue_id=queue_id,
        organization_id=turn.organization_id,
        due_at=due_at,
        position=position,
        a_line=a_line,
        b_line=b_line,
        client_line={"a": a_line, "b": b_line}.get(turn.client_leg or ""),
        is_line_busy=is_line_busy,
        shown_number=turn.shown_number,
    )
