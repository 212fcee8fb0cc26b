"""Bringing parked streams in after a fix."""

import msgspec
from psycopg import AsyncConnection

from infrastructure.event_log.codec import LogIdentity
from infrastructure.event_log.log import read_identity
from infrastructure.event_log.reader import BatchReader
from infrastructure.operations.subscribers import handlers
from infrastructure.postgres.connections import lost_database_is_storage_away
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions import checkpoints
from infrastructure.subscriptions.batch_handling import Digestion
from infrastructure.subscriptions.handler import Handler, wanted_by

_LIST = statement(
    "SELECT stream FROM {schema}.parked_streams WHERE name = %s AND (%s::text IS NULL OR stream = %s) ORDER BY position"
)
_RELEASE = statement("DELETE FROM {schema}.parked_streams WHERE name = %s AND stream = %s RETURNING version")
_ERROR = statement("SELECT error FROM {schema}.parked_streams WHERE name = %s AND stream = %s")


class StillParked(msgspec.Struct, frozen=True):
    """A stream that could not be brought in, and why."""

    stream: str
    error: str


class RetryReport(msgspec.Struct, frozen=True):
    """What became of the parked streams of a projection or policy."""

    name: str
    brought_in: list[str]
    still_parked: list[StillParked]


async def retry_parked(dsn: str, name: str, stream: str | None = None) -> RetryReport:
    """Bring in the parked streams of a projection or policy, or one of them, each from where it was parked, in its order.

    Each goes in a transaction of its own, up to where the checkpoint stands; one that fails again stays parked, with
    the new error. Raises KeyError for an unknown name, StorageUnavailable.
    """
    handler, report = handlers()[name], RetryReport(name, [], [])
    async with lost_database_is_storage_away(), await AsyncConnection.connect(dsn, autocommit=True) as connection:
        identity = await read_identity(connection)
        for (parked,) in await (await connection.execute(_LIST, (name, stream, stream))).fetchall():
            error = await _retry(connection, handler, identity, parked)
            if error is None:
                report.brought_in.append(parked)
            else:
                report.still_parked.append(StillParked(parked, error))
    return report


async def _retry(connection: AsyncConnection, handler: Handler, identity: LogIdentity, stream: str) -> str | None:
    reader, digestion = BatchReader(wanted_by(handler), identity), Digestion(connection, handler)
    async with connection.transaction():
        reached = await checkpoints.hold(connection, handler.name)
        released = await (await connection.execute(_RELEASE, (handler.name, stream))).fetchone()
        if released is None:  # somebody else was faster
            return None
        (version,) = released
        while events := await reader.of_stream(connection, stream, version, until=reached):
            await digestion.digest(events)
            version = events[-1].version + 1
        row = await (await connection.execute(_ERROR, (handler.name, stream))).fetchone()
    return row[0] if row else None
