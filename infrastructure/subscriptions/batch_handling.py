"""Passing a batch to its handler; what that cannot digest is parked, and holds up nobody else."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection

from domain.model import Recorded
from infrastructure.event_log.reader import LogEntry, UndecodableEvent
from infrastructure.postgres.sql import statement

_PARKED = statement(
    "SELECT stream, version FROM {schema}.parked_streams WHERE name = %s"
    " AND stream = ANY(ARRAY(SELECT json_array_elements_text(%s::json)))"
)
_PARK = statement(
    "INSERT INTO {schema}.parked_streams (name, stream, version, position, error) VALUES (%s, %s, %s, %s, %s)"
)
_ERROR_LENGTH = 2000

_logger = structlog.get_logger(__name__)


Handle = Callable[[AsyncConnection, Sequence[Recorded[Any]]], Awaitable[None]]
"""The method ``handle`` of a handler, bound to the tables that it writes."""


class BatchHandler:
    """Passes batches to a handler, and parks streams under the handler's name."""

    def __init__(self, connection: AsyncConnection, name: str, handle: Handle) -> None:
        """Work in the transaction that is open on the connection, or will be."""
        self._connection = connection
        self._name = name
        self._handle = handle
        self._parked: dict[str, int] = {}

    async def handle(self, batch: Sequence[LogEntry], *, has_parked: bool = True) -> None:
        """Pass on the events, which follow what was passed on before.

        From the first event of a stream on that cannot be decoded, that the handler refuses, or whose values Postgres
        refuses, the stream is parked; events of parked streams are left out. Raises every other error of psycopg.
        ``has_parked`` is False where the caller knows that no stream is parked.
        """
        self._parked = await self._parked_of(batch) if has_parked and batch else {}
        events: list[Recorded[Any]] = []
        for event in batch:
            if isinstance(event, UndecodableEvent):
                if event.stream not in self._parked:
                    await self._park(event, event.error)
            else:
                events.append(event)
        await self._fold(events)

    async def _fold(self, events: Sequence[Recorded[Any]]) -> None:
        """Pass on all; where that fails, find by halving which event is at fault."""
        events = [event for event in events if event.version < self._parked.get(event.stream, event.version + 1)]
        if not events:
            return
        try:
            async with self._connection.transaction():
                await self._handle(self._connection, events)
        except Exception as error:
            if not _lies_in_the_events(error):
                raise
            if len(events) == 1:
                await self._park(events[0], error)
                return
            middle = len(events) // 2
            await self._fold(events[:middle])
            await self._fold(events[middle:])

    async def _parked_of(self, batch: Sequence[LogEntry]) -> dict[str, int]:
        streams = msgspec.json.encode({event.stream for event in batch}).decode()
        return dict(await (await self._connection.execute(_PARKED, (self._name, streams))).fetchall())

    async def _park(self, event: LogEntry, error: Exception) -> None:
        self._parked[event.stream] = event.version
        text = f"{type(error).__name__}: {_message(error)}"[:_ERROR_LENGTH]
        await self._connection.execute(_PARK, (self._name, event.stream, event.version, event.position, text))
        _logger.error("stream parked", handler=self._name, stream=event.stream, version=event.version, error=text)


def _lies_in_the_events(error: Exception) -> bool:
    """Tell a handler's error and refused values (SQLSTATE 22, 23; 54: too long for an index) from trouble with Postgres."""
    if isinstance(error, psycopg.Error):
        return isinstance(error, psycopg.DataError | psycopg.IntegrityError | psycopg.errors.ProgramLimitExceeded)
    return True


def _message(error: Exception) -> str:
    """Answer the error's first sentence, in characters that Postgres can keep; its details may hold a person's data."""
    text = (error.diag.message_primary or str(error)) if isinstance(error, psycopg.Error) else str(error)
    return text.replace("\0", "").encode(errors="replace").decode()
