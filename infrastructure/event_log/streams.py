"""Reads of streams: whole, from the newest snapshot on, in pages; and the snapshots that these reads leave behind."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection

from application.cooperative import yielding
from application.ports.event_log import Page
from domain.model import Recorded, Snapshot
from domain.snapshots import snapshot_format
from infrastructure.event_log import metrics
from infrastructure.event_log.codec import COLUMNS, Row, decode_row, encode_snapshot
from infrastructure.event_log.identity import LogIdentity
from infrastructure.postgres.sql import statement

SNAPSHOT_EVENTS = 128
"""Events after which a snapshot is due. To decode them takes less than a round trip to the database."""
SNAPSHOT_BYTES = 1 << 20
PAGE_BYTES = 2 << 20

_BYTES_FOR_AN_EVENT = 1024
_FEW_EVENTS = 16
_LATEST_VERSION = (1 << 63) - 1

_WHOLE = statement(f"""
    SELECT {COLUMNS}
    FROM {{log}}
    WHERE originator_id = ANY(%s)
    ORDER BY originator_id, originator_version
""")
# Sorted in the subqueries, so that Postgres cannot plan them as joins that read the whole log while it is small.
_LOAD = f"""
    WITH wanted AS (
        SELECT * FROM unnest(%s::text[], %s::text[]) AS w (stream, topic)
    ), snapshot AS MATERIALIZED (
        SELECT s.*
        FROM wanted AS w
        CROSS JOIN LATERAL (
            SELECT *
            FROM {{schema}}.snapshots
            WHERE originator_id = w.stream AND topic = w.topic <until>
            ORDER BY originator_version DESC
            LIMIT 1
        ) AS s
    )
    SELECT
        notification_id, originator_id, originator_version, topic, state, recorded_at,
        organization_id, NULL AS actor, NULL AS reason, NULL AS causation, NULL AS correlation
    FROM snapshot
    UNION ALL
    SELECT e.*
    FROM wanted AS w
    CROSS JOIN LATERAL (
        SELECT {COLUMNS}
        FROM {{log}}
        WHERE originator_id = w.stream AND originator_version > coalesce(
            (SELECT s.originator_version FROM snapshot AS s WHERE s.originator_id = w.stream), 0
        ) <until>
        ORDER BY originator_version
    ) AS e
    ORDER BY originator_id, originator_version
"""
_NEWEST = statement(_LOAD.replace("<until>", ""))
_UNTIL = statement(_LOAD.replace("<until>", "AND originator_version <= %s AND recorded_at <= %s"))
_LAST = statement(f"""
    SELECT e.*
    FROM unnest(%s::text[]) AS w (stream)
    CROSS JOIN LATERAL (
        SELECT {COLUMNS}
        FROM {{log}}
        WHERE originator_id = w.stream
        ORDER BY originator_version DESC
        LIMIT 1
    ) AS e
""")
_PAGE = statement(f"""
    SELECT {COLUMNS}, (
        SELECT max(originator_version) FROM {{log}} WHERE originator_id = %(stream)s
    ) AS last_version
    FROM (
        SELECT *, sum(bytes) OVER (ORDER BY originator_version) - bytes AS before
        FROM (
            SELECT {COLUMNS}, octet_length(state) + coalesce(octet_length(reason), 0) AS bytes
            FROM {{log}}
            WHERE originator_id = %(stream)s AND originator_version > %(after)s
            ORDER BY originator_version
            LIMIT %(limit)s
        ) AS few
    ) AS weighed
    WHERE before < {PAGE_BYTES}
    ORDER BY originator_version
""")
_ADD = statement("SELECT {schema}.snapshots_add(%s, %s, %s, %b)")

_logger = structlog.get_logger(__name__)


class Loaded:
    """A stream as loaded: its events, oldest first, or a snapshot and the events after it. Empty for an unknown stream."""

    def __init__(self) -> None:
        """Start empty."""
        self.events: list[Recorded[Any]] = []
        self._bytes = 0
        self._snapshot_bytes = 0

    def add(self, row: Row, identity: LogIdentity) -> None:
        """Add the next row. Raises UnknownFact."""
        event = decode_row(row, identity)
        self.events.append(event)
        if isinstance(event.fact, Snapshot):
            self._snapshot_bytes = len(row[4])
        else:
            self._bytes += len(row[4]) + len(row[8] or "")

    @property
    def is_snapshot_due(self) -> bool:
        """Return whether the events after the last snapshot are many, or large, but not small beside that snapshot."""
        count = len(self.events)
        is_long = count > SNAPSHOT_EVENTS or (count > _FEW_EVENTS and self._bytes > SNAPSHOT_BYTES)
        return is_long and count * _BYTES_FOR_AN_EVENT + self._bytes > self._snapshot_bytes

    def snapshot(self, state: Any) -> Snapshot[Any]:
        """Return the snapshot of the stream's state."""
        first = self.events[0].fact
        return Snapshot(state=state, bytes=self._bytes + (first.bytes if isinstance(first, Snapshot) else 0))


async def load_streams(connection: AsyncConnection, streams: Iterable[str], identity: LogIdentity) -> dict[str, Loaded]:
    """Load each stream, in one query. Raises UnknownFact."""
    names = sorted(set(streams))
    found = {name: Loaded() for name in names}
    formats = [snapshot_format(name) for name in names]
    if any(formats):
        topics = [format_ and format_.topic for format_ in formats]
        cursor = await connection.cursor(binary=True).execute(_NEWEST, (names, topics), prepare=True)
    else:
        cursor = await connection.cursor(binary=True).execute(_WHOLE, (names,), prepare=True)
    for row in await cursor.fetchall():
        found[row[1]].add(row, identity)
    return found


async def load_until(
    connection: AsyncConnection, stream: str, identity: LogIdentity, *, version: int | None, as_of: datetime | None
) -> Loaded:
    """Load the stream as it was at that version, and at that time. Raises UnknownFact."""
    format_, loaded = snapshot_format(stream), Loaded()
    until = (_LATEST_VERSION if version is None else version, "infinity" if as_of is None else as_of)
    topic = format_ and format_.topic
    cursor = await connection.cursor(binary=True).execute(_UNTIL, ([stream], [topic], *until, *until), prepare=False)
    for row in await cursor.fetchall():
        loaded.add(row, identity)
    return loaded


async def read_last(
    connection: AsyncConnection, streams: Sequence[str], identity: LogIdentity
) -> dict[str, Recorded[Any]]:
    """Return the last event of each stream that has one, in one query. Raises UnknownFact."""
    cursor = await connection.cursor(binary=True).execute(_LAST, (sorted(set(streams)),), prepare=True)
    return {row[1]: decode_row(row, identity) for row in await cursor.fetchall()}


PageRow = tuple[Any, ...]
"""A row of the log, and behind it the last version of its stream."""


async def read_page(connection: AsyncConnection, stream: str, *, after: int, limit: int) -> Sequence[PageRow]:
    """Return the rows of events after that version: at most ``limit``, and no more after ``PAGE_BYTES``."""
    values = {"stream": stream, "after": after, "limit": limit}
    cursor = await connection.cursor(binary=True).execute(_PAGE, values, prepare=True)
    return await cursor.fetchall()


async def page_of(rows: Sequence[PageRow], identity: LogIdentity, owner: int | None) -> Page:
    """Return the page of the rows; ``owner`` is the organisation that reads it. Raises UnknownFact."""
    events = [decode_row(row[:-1], identity) async for row in yielding(rows, owner)]
    return Page(events, has_next=bool(rows) and events[-1].version < rows[0][-1])


async def add_due_snapshots(connection: AsyncConnection, streams: Iterable[Loaded]) -> None:
    """Store a snapshot of each stream for which one is due, over a connection in autocommit mode.

    Snapshots are a cache: when one cannot be stored, this is logged and counted, and the next load tries again.
    """
    for loaded in streams:
        if loaded.is_snapshot_due and (format_ := snapshot_format(loaded.events[0].stream)):
            last = loaded.events[-1]
            try:
                state = encode_snapshot(loaded.snapshot(format_.replay(loaded.events)))
                await connection.execute(_ADD, (last.stream, last.version, format_.topic, state))
            except (psycopg.Error, ValueError) as error:  # a ValueError: the stream begins in its middle
                metrics.SNAPSHOTS.labels("failed").inc()
                _logger.warning("snapshot not stored", stream=last.stream, version=last.version, cause=str(error))
            else:
                metrics.SNAPSHOTS.labels("stored").inc()
