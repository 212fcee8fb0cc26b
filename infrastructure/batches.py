"""Reading the log by batches that are bounded by count and by bytes."""

from typing import Any

import msgspec
from psycopg import AsyncConnection

from domain.model import Recorded
from infrastructure.event_mapper import COLUMNS, LogIdentity, Row, UnknownFact, recorded
from infrastructure.statements import statement

BATCH_EVENTS = 1000  # enough to share the cost of a transaction, few enough to be seen soon
BATCH_BYTES = 4 << 20
END = (1 << 63) - 1

# Planned anew each time: a plan made for a small log would stay when it has grown.
_BOUNDED = (
    f"SELECT {COLUMNS} FROM (SELECT *, sum(octet_length(state)) OVER (ORDER BY notification_id) - octet_length(state)"
    f" AS before FROM (SELECT {COLUMNS} FROM {{log}} WHERE <which> AND notification_id <= %s"
    f" ORDER BY notification_id LIMIT %s) AS few) AS weighed WHERE before < {BATCH_BYTES}"
    " ORDER BY notification_id"
)
_AFTER = statement(_BOUNDED.replace("<which>", "notification_id > %s"))
_OF_STREAM = statement(_BOUNDED.replace("<which>", "originator_id = %s AND originator_version >= %s"))


class Unreadable(msgspec.Struct, frozen=True):
    """An event that cannot be decoded."""

    stream: str
    version: int
    position: int
    error: UnknownFact


class Batch(msgspec.Struct, frozen=True):
    """Events in the order of the log, of those streams that are wanted; ``count`` events were read, up to ``position``."""

    events: list[Recorded[Any] | Unreadable]
    count: int
    position: int


class BatchReader:
    """Reads the events of those streams whose names begin with ``streams``."""

    def __init__(self, streams: str, identity: LogIdentity, *, most: int = BATCH_EVENTS) -> None:
        """``identity`` tells the ids that the log has had; ``most`` bounds a batch's count."""
        self._streams = streams
        self._most = most
        self._identity = identity

    async def after(self, connection: AsyncConnection, position: int, *, until: int = END) -> Batch | None:
        """Answer the events after the position, up to and including ``until``, as many as fit; None when there are none."""
        return await self._read(connection, _AFTER, (position, until))

    async def of_stream(self, connection: AsyncConnection, stream: str, version: int, *, until: int) -> Batch | None:
        """Answer the stream's events from the version on, up to the position ``until``, as many as fit; or None."""
        return await self._read(connection, _OF_STREAM, (stream, version, until))

    async def _read(self, connection: AsyncConnection, query: bytes, values: tuple[str | int, ...]) -> Batch | None:
        cursor = await connection.cursor(binary=True).execute(query, (*values, self._most), prepare=False)
        rows: list[Row] = await cursor.fetchall()
        if not rows:
            return None
        events = [self._decoded(row) for row in rows if row[1].startswith(self._streams)]
        return Batch(events, len(rows), rows[-1][0])

    def _decoded(self, row: Row) -> Recorded[Any] | Unreadable:
        try:
            return recorded(row, self._identity)
        except UnknownFact as error:
            return Unreadable(row[1], row[2], row[0], error)
