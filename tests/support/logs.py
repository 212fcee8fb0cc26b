"""The event log, opened as the service opens it, in the database of a test."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection

from application.ports.event_log import Appended
from domain.model import Envelope, Fact, Recorded
from infrastructure.event_log.append import Command, append_batch
from infrastructure.event_log.codec import encode
from infrastructure.event_log.log import PostgresEventLog
from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.postgres.shared_pool import SharedPool
from tests.support.histories import filed

ENVELOPE = Envelope(
    organization_id=1, actor="member/m1", reason="asked to", causation="request/7", correlation="request/7"
)


@asynccontextmanager
async def open_log(dsn: str) -> AsyncGenerator[PostgresEventLog]:
    """Yield the log, opened with the role of the service."""
    writing, reading = (Pool(service_dsn(dsn), size=size, name="test") for size in (1, 2))
    try:
        yield PostgresEventLog(writing, reading, SharedPool(reading, size=2, resource="histories"))
    finally:
        await writing.close()
        await reading.close()


@asynccontextmanager
async def held_append_lock(dsn: str) -> AsyncGenerator[None]:
    """Hold the lock of `append_batch` until the context ends; its transaction is rolled back."""
    fact = filed()
    command = Command(stream="task/held", version=0, facts=[fact], states=[encode(fact)], envelope=ENVELOPE)
    async with (
        await AsyncConnection.connect(dsn, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        await append_batch(connection, [command])
        yield


def pids_waiting_to_append(dsn: str) -> list[int]:
    """Return the process ids of the backends that wait for the lock of `append_batch`."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            # A backend that waits for a row holds or awaits a lock on its tuple.
            "SELECT DISTINCT pid FROM pg_locks JOIN pg_database AS d ON d.oid = database"
            " WHERE locktype = 'tuple' AND datname = current_database()"
            " AND relation = 'perezvon_1.stored_events_door'::regclass"
        ).fetchall()
    return [pid for (pid,) in rows]


def record(dsn: str, stream: str, *facts: Fact, version: int = 0) -> Sequence[Recorded[Any]]:
    """Append facts as the service does, and return the recorded events."""

    async def append() -> Appended:
        async with open_log(dsn) as log:
            return await log.append(stream, version, facts, ENVELOPE)

    return asyncio.run(append()).events


def read(dsn: str, stream: str) -> Sequence[Recorded[Any]]:
    """Read a stream as the service does."""

    async def ask() -> Sequence[Recorded[Any]]:
        async with open_log(dsn) as log:
            return await log.read(stream)

    return asyncio.run(ask())
