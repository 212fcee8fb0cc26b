"""Reading the log by batches that are bounded by count and by bytes."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection

from domain.model import Recorded
from infrastructure.event_log.codec import COLUMNS, LogIdentity, Row, UnknownFact, decode_row
from infrastructure.postgres.sql import statement

# Enough to share the cost of a transaction and of a row that changes often, few enough to be seen soon.
BATCH_EVENTS = 4000
BATCH_BYTES = 4 << 20
END = (1 << 63) - 1


class Topics(msgspec.Struct, frozen=True):
    """Facts with these tags; if there are ``first_event_contains``, of those streams only whose first fact as stored holds one of them."""

    tags: frozenset[str]
    first_event_contains: Sequence[str] = ()


EventFilter = str | tuple[str, ...] | Topics

# All are planned anew each time: a plan made for a small log would stay when it has grown.
_BOUNDED = (
    f"SELECT {COLUMNS} FROM (SELECT *, sum(octet_length(state)) OVER (ORDER BY notification_id) - octet_length(state)"
    f" AS before FROM (SELECT {COLUMNS} FROM {{log}} AS e WHERE <which> AND notification_id <= %s AND <wanted>"
    f" ORDER BY notification_id LIMIT %s) AS few) AS weighed WHERE before < {BATCH_BYTES}"
)
_HEAD = "(SELECT max(notification_id) AS position FROM {log}) AS head"
_AFTER = (
    f"SELECT few.*, head.position FROM {_HEAD} LEFT JOIN ({_BOUNDED.replace('<which>', 'notification_id > %s')})"
    " AS few ON true ORDER BY few.notification_id"
)
_OF_STREAM = _BOUNDED.replace("<which>", "originator_id = %s AND originator_version >= %s") + " ORDER BY 1"
_NEXT = (
    "SELECT (SELECT notification_id FROM {log} AS e WHERE notification_id > %s AND notification_id <= %s AND <wanted>"
    f" ORDER BY 1 LIMIT 1), head.position FROM {_HEAD}"
)
_TAGGED = "topic = ANY(%s)"
# It is looked up for each event: much less work than to pass on and decode what turns out not to matter.
_MARKED = (
    " AND (SELECT first.state LIKE ANY (%s::bytea[]) FROM {log} AS first"
    " WHERE first.originator_id = e.originator_id AND first.originator_version = 1)"
)
_NAMED = "originator_id ^@ ANY(%s)"


class UndecodableEvent(msgspec.Struct, frozen=True):
    """An event that cannot be decoded."""

    stream: str
    version: int
    position: int
    error: UnknownFact


LogEntry = Recorded[Any] | UndecodableEvent


class Batch(msgspec.Struct, frozen=True):
    """The wanted ones of the ``count`` events after some position, up to and including ``position``, in the log's order."""

    events: list[LogEntry]
    count: int
    position: int


class BatchReader:
    """Reads the wanted events of the log."""

    def __init__(self, wanted: EventFilter, identity: LogIdentity, *, most: int = BATCH_EVENTS) -> None:
        """Want the facts of these topics, or those of the streams whose names begin so, one way or several.

        ``identity`` tells the ids that the log has had; ``most`` bounds a batch's wanted events.
        """
        condition, self._wanted = _condition(wanted)
        self._after, self._of_stream, self._next = (
            statement(query.replace("<wanted>", condition)) for query in (_AFTER, _OF_STREAM, _NEXT)
        )
        self._most = most
        self._identity = identity

    async def after(self, connection: AsyncConnection, position: int, *, until: int = END) -> Batch | None:
        """Answer the events after the position, up to and including ``until``, as many as fit; None when there are none."""
        cursor = connection.cursor(binary=True)
        await cursor.execute(self._after, (position, until, *self._wanted, self._most), prepare=False)
        found = await cursor.fetchall()
        head: int = found[0][-1] or 0
        rows: list[Row] = [row[:-1] for row in found if row[0] is not None]
        is_whole = len(rows) < self._most and sum(len(row[4]) for row in rows) < BATCH_BYTES
        reached = min(until, head) if is_whole else rows[-1][0]
        return Batch(self._decoded(rows), reached - position, reached) if reached > position else None

    async def read_stream(
        self, connection: AsyncConnection, stream: str, version: int, *, until: int
    ) -> Sequence[LogEntry]:
        """Answer the wanted events of a stream from the version on, up to the position ``until``, as many as fit."""
        cursor = connection.cursor(binary=True)
        await cursor.execute(self._of_stream, (stream, version, until, *self._wanted, self._most), prepare=False)
        return self._decoded(await cursor.fetchall())

    async def scan_unmatched(self, connection: AsyncConnection, position: int, *, until: int) -> tuple[int, bool]:
        """Answer up to where there is nothing wanted after the position, and whether a wanted event follows there."""
        cursor = await connection.execute(self._next, (position, until, *self._wanted), prepare=False)
        ((wanted, head),) = await cursor.fetchall()
        return (wanted - 1, True) if wanted else (max(position, min(until, head or 0)), False)

    def _decoded(self, rows: Sequence[Row]) -> list[LogEntry]:
        return [self._read(row) for row in rows]

    def _read(self, row: Row) -> LogEntry:
        try:
            return decode_row(row, self._identity)
        except UnknownFact as error:
            return UndecodableEvent(row[1], row[2], row[0], error)


def _condition(wanted: EventFilter) -> tuple[str, list[list[Any]]]:
    """Answer the SQL of a condition, and its values."""
    match wanted:
        case Topics(tags=tags, first_event_contains=first_event_contains) if first_event_contains:
            return _TAGGED + _MARKED, [sorted(tags), [f"%{mark}%".encode() for mark in first_event_contains]]
        case Topics(tags=tags):
            return _TAGGED, [sorted(tags)]
        case str():
            return _NAMED, [[wanted]]
        case _:
            return _NAMED, [list(wanted)]
