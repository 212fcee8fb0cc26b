"""Parked streams: their rows, their log event, and the errors that park a stream.

The rows are retried by infrastructure/operations/retry_parked.py.
"""

from collections.abc import Collection

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection

from infrastructure.event_log.reader import LogEntry
from infrastructure.postgres.errors import Action, action_of
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


async def parked_versions(connection: AsyncConnection, name: str, streams: Collection[str]) -> dict[str, int]:
    """Return the first parked version of those streams that are parked for the handler ``name``."""
    encoded = msgspec.json.encode(list(streams)).decode()
    return dict(await (await connection.execute(_PARKED, (name, encoded))).fetchall())


async def park_stream(connection: AsyncConnection, name: str, event: LogEntry, error: Exception) -> None:
    """Park the stream for the handler ``name`` from this event on, and log the error."""
    text = f"{type(error).__name__}: {_message(error)}"[:_ERROR_LENGTH]
    await connection.execute(_PARK, (name, event.stream, event.version, event.position, text))
    _logger.error("stream parked", handler=name, stream=event.stream, version=event.version, error=text)


def is_caused_by_events(error: Exception) -> bool:
    """Return whether the events cause the error, not Postgres: the handler raised, or their values were rejected.

    Rejected values have SQLSTATE class 22 or 23, or 54 when a value is too long for an index.
    """
    return action_of(error) is Action.CHANGE_VALUES if isinstance(error, psycopg.Error) else True


def _message(error: Exception) -> str:
    """Return the error's primary message in characters that Postgres can store; its details may hold personal data."""
    text = (error.diag.message_primary or str(error)) if isinstance(error, psycopg.Error) else str(error)
    return text.replace("\0", "").encode(errors="replace").decode()
