"""Open calls: their rows, and a cache of them with their facts, so that recording an outcome needs no read."""

from collections.abc import Iterable
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from application.policies.decision import Facts
from domain.streams import callback_stream
from infrastructure.event_log.decisions import read_streams
from infrastructure.postgres.sql import statement

CACHED_MAX = 10_000

_READ = statement("""
    SELECT call_id, callback_id, queue_id, organization_id, attempt, position, correlation, client_line, a_line, b_line
    FROM {schema}.open_calls
    WHERE call_id = ANY(%s::uuid[])
""")


class OpenCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was started and has not ended; ``position`` is that of AttemptStarted, the lines are hashes."""

    call_id: str
    callback_id: int
    queue_id: int
    organization_id: int
    attempt: int
    position: int
    correlation: str | None
    client_line: int | None
    a_line: int | None
    b_line: int | None

    @property
    def stream(self) -> str:
        """The callback's stream."""
        return callback_stream(self.callback_id)


class OpenCallCache:
    """Open calls with the facts of their callbacks, at most ``CACHED_MAX``: the others are read when they are needed."""

    def __init__(self) -> None:
        """Start empty."""
        self._cached: dict[str, tuple[OpenCall, Facts]] = {}

    def add(self, call: OpenCall, facts: Facts) -> None:
        """Add a call and the whole stream of its callback, if there is room."""
        if len(self._cached) < CACHED_MAX:
            self._cached[call.call_id] = (call, facts)

    def update(self, call: OpenCall, facts: Facts) -> None:
        """Replace the facts of a call, if it is cached."""
        if call.call_id in self._cached:
            self._cached[call.call_id] = (call, facts)

    def discard(self, call_id: str) -> None:
        """Remove a call that has ended."""
        self._cached.pop(call_id, None)

    async def get(self, connection: AsyncConnection, call_ids: Iterable[str]) -> dict[str, tuple[OpenCall, Facts]]:
        """Return those of the calls that are open, with their facts. Raises UnknownFact."""
        ids = list(call_ids)
        found = {call_id: self._cached[call_id] for call_id in ids if call_id in self._cached}
        if missing := [call_id for call_id in ids if call_id not in found]:
            found |= await _read(connection, missing)
        return found


async def _read(connection: AsyncConnection, call_ids: list[str]) -> dict[str, tuple[OpenCall, Facts]]:
    cursor = connection.cursor(binary=True, row_factory=dict_row)
    await cursor.execute(_READ, (call_ids,))
    rows: list[dict[str, Any]] = await cursor.fetchall()
    calls = [msgspec.convert(row | {"call_id": str(row["call_id"])}, OpenCall) for row in rows]
    streams = await read_streams(connection, [call.stream for call in calls])
    return {call.call_id: (call, streams[call.stream]) for call in calls}
