"""Cache of callbacks' first facts, which say what was scheduled: later events of a callback refer to them."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from domain.callback.events import CallbackScheduled
from domain.model import Recorded
from domain.streams import CALLBACK_PREFIX
from infrastructure.event_log.codec import decode
from infrastructure.postgres.sql import statement

_MAX_ENTRIES = 10_000  # of about a kilobyte each
_FIRST = statement("""
    SELECT originator_id, topic, state
    FROM {log}
    WHERE originator_id = ANY(%s) AND originator_version = 1
""")


class ScheduleCache:
    """Keeps the most recently used first facts of callbacks, and reads the others from the log, where they never change."""

    def __init__(self, max_entries: int = _MAX_ENTRIES) -> None:
        """Keep at most ``max_entries`` of them."""
        self._max_entries = max_entries
        self._log_id: UUID | None = None
        self._known: dict[str, CallbackScheduled] = {}  # least recently used first

    async def load(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> dict[str, CallbackScheduled]:
        """Return, by stream, the first fact of each callback that has an event here. Raises UnknownFact."""
        if events[-1].log_id != self._log_id:  # another log, or a restored one: its ids may mean other callbacks
            self._log_id, self._known = events[-1].log_id, {}
        known, found = self._known, dict[str, CallbackScheduled]()
        missing: set[str] = set()
        for event in events:
            stream = event.stream
            if stream in found or stream in missing or not stream.startswith(CALLBACK_PREFIX):
                continue
            if fact := event.fact if isinstance(event.fact, CallbackScheduled) else known.pop(stream, None):
                found[stream] = fact
            else:
                missing.add(stream)
        if missing:
            found |= await _read(connection, missing)
        known |= found
        for stream in list(islice(known, max(len(known) - self._max_entries, 0))):
            del known[stream]
        return found


async def _read(connection: AsyncConnection, streams: Iterable[str]) -> dict[str, CallbackScheduled]:
    cursor = await connection.cursor(binary=True).execute(_FIRST, (list(streams),), prepare=True)
    firsts = [(stream, decode(topic, state)) for stream, topic, state in await cursor.fetchall()]
    return {stream: fact for stream, fact in firsts if isinstance(fact, CallbackScheduled)}
