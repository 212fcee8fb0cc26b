"""Pass a batch to its handler; park the streams whose events fail, without blocking others."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from psycopg import AsyncConnection

from domain.model import Recorded
from infrastructure.event_log.reader import LogEntry, UndecodableEvent
from infrastructure.subscriptions.parking import is_caused_by_events, park_stream, parked_versions

Handle = Callable[[AsyncConnection, Sequence[Recorded[Any]]], Awaitable[None]]
"""The method ``handle`` of a handler; a projection's may be bound to the tables that it fills."""


class BatchHandler:
    """Passes batches to a handler, and parks streams under its name."""

    def __init__(self, connection: AsyncConnection, name: str, handle: Handle) -> None:
        """Work in the transaction that is open on the connection at each batch."""
        self._connection = connection
        self._name = name
        self._handle = handle
        self._parked: dict[str, int] = {}

    async def handle(self, batch: Sequence[LogEntry], *, has_parked: bool = True) -> None:
        """Pass on the events, which follow those of the last batch.

        A stream is parked from its first event on that cannot be decoded, that the handler rejects, or whose values
        Postgres rejects; events of parked streams are left out. Raises every other error of psycopg.
        ``has_parked`` is False when the caller knows that no stream is parked.
        """
        streams = {event.stream for event in batch} if has_parked else ()
        self._parked = await parked_versions(self._connection, self._name, streams) if streams else {}
        events: list[Recorded[Any]] = []
        for event in batch:
            if isinstance(event, UndecodableEvent):
                if event.stream not in self._parked:
                    await self._park(event, event.error)
            else:
                events.append(event)
        await self._bisect(events)

    async def _bisect(self, events: Sequence[Recorded[Any]]) -> None:
        """Pass on all events; when that fails, halve them until the event that fails is found."""
        events = [event for event in events if event.version < self._parked.get(event.stream, event.version + 1)]
        if not events:
            return
        try:
            async with self._connection.transaction():
                await self._handle(self._connection, events)
        except Exception as error:
            if not is_caused_by_events(error):
                raise
            if len(events) == 1:
                await self._park(events[0], error)
                return
            middle = len(events) // 2
            await self._bisect(events[:middle])
            await self._bisect(events[middle:])

    async def _park(self, event: LogEntry, error: Exception) -> None:
        self._parked[event.stream] = event.version
        await park_stream(self._connection, self._name, event, error)
