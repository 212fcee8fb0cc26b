"""Reads of the log in batches that are bounded by count and by bytes."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection

from application.cooperative import in_parts
from domain.model import Recorded
from infrastructure.event_log.codec import COLUMNS, Row, UnknownFact, decode_row
from infrastructure.event_log.identity import LogIdentity
from infrastructure.postgres.sql import statement

# Enough to share the cost of a transaction and of a row that changes often, few enough to be visible soon.
BATCH_EVENTS = 4000
BATCH_BYTES = 4 << 20
END = (1 << 63) - 1


class Topics(msgspec.Struct, frozen=True):
    """Facts with these tags.

    With ``first_event_contains``, only those of streams whose first event, as stored, contains one of these texts.
    """

    tags: frozenset[str]
    first_event_contains: Sequence[str] = ()


EventFilter = str | tuple[str, ...] | Topics
"""Facts of some topics, or those of the streams whose names begin with a prefix, or with one of several."""

# All statements are planned at each execution: a plan made for a small log would be kept after it has grown.
_BOUNDED = f"""
    SELECT {COLUMNS}
    FROM (
        SELECT *, sum(octet_length(state)) OVER (ORDER BY notification_id) - octet_length(state) AS before
        FROM (
            SELECT {COLUMNS}
            FROM {{log}} AS e
            WHERE <range> AND notification_id <= %s AND <filter>
            ORDER BY notification_id
            LIMIT %s
        ) AS few
    ) AS weighed
    WHERE before < {BATCH_BYTES}
"""
_HEAD = "(SELECT max(notification_id) AS position FROM {log}) AS head"
_AFTER = f"""
    SELECT few.*, head.position
    FROM {_HEAD}
    LEFT JOIN ({_BOUNDED.replace("<range>", "notification_id > %s")}) AS few ON true
    ORDER BY few.notification_id
"""
_OF_STREAM = f"""
    {_BOUNDED.replace("<range>", "originator_id = %s AND originator_version >= %s")}
    ORDER BY 1
"""
_NEXT = f"""
    SELECT
        (
            SELECT notification_id
            FROM {{log}} AS e
            WHERE notification_id > %s AND notification_id <= %s AND <filter>
            ORDER BY 1
            LIMIT 1
        ),
        head.position
    FROM {_HEAD}
"""
_TAGGED = "topic = ANY(%s)"
# Looked up for each event: this is much less work than to send and decode events that turn out not to matter.
_FIRST_EVENT_CONTAINS = """
    AND (
        SELECT first.state LIKE ANY (%s::bytea[])
        FROM {log} AS first
        WHERE first.originator_id = e.originator_id AND first.originator_version = 1
    )
"""
_NAMED = "originator_id ^@ ANY(%s)"


class UndecodableEvent(msgspec.Struct, frozen=True):
    """An event that cannot be decoded."""

    stream: str
    version: int
    position: int
    error: UnknownFact


LogEntry = Recorded[Any] | UndecodableEvent


class Batch(msgspec.Struct, frozen=True):
    """The matching ones of the ``count`` events after a position, up to and including ``position``, in the log's order."""

    events: list[LogEntry]
    count: int
    position: int


class BatchReader:
    """Reads the events of the log that match a filter."""

    def __init__(self, event_filter: EventFilter, identity: LogIdentity, *, max_events: int = BATCH_EVENTS) -> None:
        """Read what matches ``event_filter``; ``max_events`` bounds the matching events of a batch."""
        condition, self._filter_values = _condition(event_filter)
        self._after, self._of_stream, self._next = (
            statement(query.replace("<filter>", condition)) for query in (_AFTER, _OF_STREAM, _NEXT)
        )
        self._max_events = max_events
        self._identity = identity

    async def after(self, connection: AsyncConnection, position: int, *, until: int = END) -> Batch | None:
        """Return the events after the position, up to and including ``until``, as many as fit; None if there are none."""
        cursor = connection.cursor(binary=True)
        await cursor.execute(self._after, (position, until, *self._filter_values, self._max_events), prepare=False)
        found = await cursor.fetchall()
        head: int = found[0][-1] or 0
        rows: list[Row] = [row[:-1] for row in found if row[0] is not None]
        is_whole = len(rows) < self._max_events and sum(len(row[4]) for row in rows) < BATCH_BYTES
        reached = min(until, head) if is_whole else rows[-1][0]
        return Batch(await self._decoded(rows), reached - position, reached) if reached > position else None

    async def read_stream(
        self, connection: AsyncConnection, stream: str, version: int, *, until: int
    ) -> Sequence[LogEntry]:
        """Return the matching events of a stream from the version on, up to the position ``until``, as many as fit."""
        cursor = connection.cursor(binary=True)
        values = (stream, version, until, *self._filter_values, self._max_events)
        await cursor.execute(self._of_stream, values, prepare=False)
        return await self._decoded(await cursor.fetchall())

    async def scan_unmatched(self, connection: AsyncConnection, position: int, *, until: int) -> tuple[int, bool]:
        """Return the position up to which no event after ``position`` matches, and whether a matching one follows."""
        cursor = await connection.execute(self._next, (position, until, *self._filter_values), prepare=False)
        ((match, head),) = await cursor.fetchall()
        return (match - 1, True) if match else (max(position, min(until, head or 0)), False)

    async def _decoded(self, rows: Sequence[Row]) -> list[LogEntry]:
        return [self._decode(row) async for part in in_parts(rows) for row in part]

    def _decode(self, row: Row) -> LogEntry:
        try:
            return decode_row(row, self._identity)
        except UnknownFact as error:
            return UndecodableEvent(row[1], row[2], row[0], error)


def _condition(event_filter: EventFilter) -> tuple[str, list[list[Any]]]:
    """Return the SQL of a filter's condition, and its values."""
    match event_filter:
        case Topics(tags=tags, first_event_contains=texts) if texts:
            return _TAGGED + _FIRST_EVENT_CONTAINS, [sorted(tags), [f"%{text}%".encode() for text in texts]]
        case Topics(tags=tags):
            return _TAGGED, [sorted(tags)]
        case str():
            return _NAMED, [[event_filter]]
        case _:
            return _NAMED, [list(event_filter)]
