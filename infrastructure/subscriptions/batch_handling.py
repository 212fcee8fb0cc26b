"""Pass a batch to its handler; park the streams whose events fail, without blocking others."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection

from domain.model import Recorded
from infrastructure.event_log.reader import LogEntry, UndecodableEvent
from infrastructure.postgres.sql import statement

_PARKED = statement("""
    SELECT stream, version
    FROM {schema}.parked_streams
    WHERE name = %s AND stream = ANY(ARRAY(SELECT json_array_elements_text(%s::json)))
""")
_PARK = statement("""
    INSERT INTO {schema}.parked_streams (name, stream, version, position, error)
    VALUES (%s, %s, %s, %s, %s)
""")
_ERROR_LENGTH = 2000

_logger = structlog.get_logger(__name__)

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
        self._parked = await self._parked_versions(batch) if has_parked and batch else {}
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
            if not _is_caused_by_events(error):
                raise
            if len(events) == 1:
                await self._park(events[0], error)
                return
            middle = len(events) // 2
            await self._bisect(events[:middle])
            await self._bisect(events[middle:])

    async def _parked_versions(self, batch: Sequence[LogEntry]) -> dict[str, int]:
        streams = msgspec.json.encode({event.stream for event in batch}).decode()
        return dict(await (await self._connection.execute(_PARKED, (self._name, streams))).fetchall())

    async def _park(self, event: LogEntry, error: Exception) -> None:
        self._parked[event.stream] = event.version
        text = f"{type(error).__name__}: {_message(error)}"[:_ERROR_LENGTH]
        await self._connection.execute(_PARK, (self._name, event.stream, event.version, event.position, text))
        _logger.error("stream parked", handler=self._name, stream=event.stream, version=event.version, error=text)


def _is_caused_by_events(error: Exception) -> bool:
    """Return whether the events cause the error, not Postgres: the handler raised, or their values were rejected.

    Rejected values have SQLSTATE class 22 or 23, or 54 when a value is too long for an index.
    """
    if isinstance(error, psycopg.Error):
        return isinstance(error, psycopg.DataError | psycopg.IntegrityError | psycopg.errors.ProgramLimitExceeded)
    return True


def _message(error: Exception) -> str:
    """Return the error's primary message in characters that Postgres can store; its details may hold personal data."""
    text = (error.diag.message_primary or str(error)) if isinstance(error, psycopg.Error) else str(error)
    return text.replace("\0", "").encode(errors="replace").decode()
