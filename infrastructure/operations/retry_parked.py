"""Retry parked streams after a fix."""

from psycopg import AsyncConnection

from application.ports.operations import RetryReport, StillParked
from infrastructure.event_log.identity import LogIdentity, read_identity
from infrastructure.event_log.reader import BatchReader
from infrastructure.operations.subscribers import handlers
from infrastructure.postgres.sessions import MAINTENANCE, open_connection
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions import checkpoints
from infrastructure.subscriptions.batch_handling import BatchHandler
from infrastructure.subscriptions.handler import Handler

_LIST = statement("""
    SELECT stream
    FROM {schema}.parked_streams
    WHERE name = %s AND (%s::text IS NULL OR stream = %s)
    ORDER BY position
""")
_RELEASE = statement("DELETE FROM {schema}.parked_streams WHERE name = %s AND stream = %s RETURNING version")
_ERROR = statement("SELECT error FROM {schema}.parked_streams WHERE name = %s AND stream = %s")


async def retry_parked(dsn: str, name: str, stream: str | None = None) -> RetryReport:
    """Handle the events of parked streams, from the first parked one on and in their order; ``stream`` selects one stream.

    Each stream has a transaction of its own, and is handled up to the checkpoint; one that fails again stays parked,
    with the new error. Raises KeyError for an unknown name, StorageUnavailable.
    """
    handler, report = handlers()[name], RetryReport(name, [], [])
    async with open_connection(dsn, MAINTENANCE, "retry-parked") as connection:
        identity = await read_identity(connection)
        for (parked,) in await (await connection.execute(_LIST, (name, stream, stream))).fetchall():
            error = await _retry(connection, handler, identity, parked)
            if error is None:
                report.brought_in.append(parked)
            else:
                report.still_parked.append(StillParked(parked, error))
    return report


async def _retry(connection: AsyncConnection, handler: Handler, identity: LogIdentity, stream: str) -> str | None:
    reader = BatchReader(handler.subscription, identity)
    batch_handler = BatchHandler(connection, handler.name, handler.handle)
    async with connection.transaction():
        reached = await checkpoints.lock(connection, handler.name)
        released = await (await connection.execute(_RELEASE, (handler.name, stream))).fetchone()
        if released is None:  # another retry has handled it
            return None
        (version,) = released
        while events := await reader.read_stream(connection, stream, version, until=reached):
            await batch_handler.handle(events)
            version = events[-1].version + 1
        row = await (await connection.execute(_ERROR, (handler.name, stream))).fetchone()
    return row[0] if row else None
