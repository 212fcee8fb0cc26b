"""Bringing parked streams in after a fix."""

import msgspec
from psycopg import AsyncConnection

from infrastructure import checkpoints
from infrastructure.batches import BatchReader
from infrastructure.database import lost_database_is_storage_away
from infrastructure.digest import Digestion
from infrastructure.event_log.postgres_log import read_identity
from infrastructure.event_mapper import LogIdentity
from infrastructure.projection import Projection
from infrastructure.projections import PROJECTIONS
from infrastructure.statements import statement

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
    """What became of the parked streams of a projection."""

    name: str
    brought_in: list[str]
    still_parked: list[StillParked]


async def retry_parked(dsn: str, name: str, stream: str | None = None) -> RetryReport:
    """Fold the parked streams of a projection, or one of them, from where each was parked, in the order of the log.

    Each goes in a transaction of its own, up to where the projection stands; one that fails again stays parked, with
    the new error. Raises KeyError for an unknown projection, StorageAway.
    """
    projection, report = PROJECTIONS[name], RetryReport(name, [], [])
    async with lost_database_is_storage_away(), await AsyncConnection.connect(dsn, autocommit=True) as connection:
        identity = await read_identity(connection)
        for (parked,) in await (await connection.execute(_LIST, (name, stream, stream))).fetchall():
            error = await _retry(connection, projection, identity, parked)
            if error is None:
                report.brought_in.append(parked)
            else:
                report.still_parked.append(StillParked(parked, error))
    return report


async def _retry(connection: AsyncConnection, projection: Projection, identity: LogIdentity, stream: str) -> str | None:
    reader, digestion = BatchReader(projection.streams, identity), Digestion(connection, projection)
    async with connection.transaction():
        reached = await checkpoints.hold(connection, projection.name)
        released = await (await connection.execute(_RELEASE, (projection.name, stream))).fetchone()
        if released is None:  # somebody else was faster
            return None
        (version,) = released
        while batch := await reader.of_stream(connection, stream, version, until=reached):
            await digestion.digest(batch)
            version += batch.count
        row = await (await connection.execute(_ERROR, (projection.name, stream))).fetchone()
    return row[0] if row else None
