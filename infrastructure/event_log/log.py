"""The event log of the running service: concurrent appends share a commit, concurrent reads share a query."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from application.cooperative import yielding
from application.ports.event_log import Appended, IdempotencyKey, IdempotencyRecord, Page
from application.time_budget import current_owner
from domain.model import Envelope, Fact, Recorded
from infrastructure.event_log import metrics
from infrastructure.event_log.append import Command, append_batch, outcome_of
from infrastructure.event_log.bulk_append import NewStreams, Recording, append_new_streams, appended
from infrastructure.event_log.codec import COLUMNS, decode_row, encode
from infrastructure.event_log.identity import LogIdentity, read_identity
from infrastructure.event_log.streams import add_due_snapshots, load_streams, load_until, page_of, read_last, read_page
from infrastructure.postgres.batching import Batcher
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA, quoted, statement

_READ_SPAN = statement(f"""
    SELECT {COLUMNS}
    FROM {{log}}
    WHERE notification_id >= %s AND notification_id < %s
    ORDER BY notification_id
""")
_READ_KEYS = f"""
    SELECT digest, fingerprint, stream, version, status
    FROM {quoted(SCHEMA, LOG_TABLE + "_claims")}
    WHERE digest = ANY(%s) AND claimed_at > now() - interval '24 hours'
""".encode()


class PostgresEventLog:
    """The port ``EventLog`` on Postgres."""

    def __init__(self, writing: Pool, reading: Pool, histories: SharedPool) -> None:
        """Append over ``writing``, used for nothing else; read batches over ``reading``, and long streams over ``histories``."""
        self._writing = writing
        self._reading = reading
        self._histories = histories
        self._identity: LogIdentity | None = None
        self._appends = Batcher[Command, Appended](
            self._append_batch, max_items=512, size_of=lambda command: command.size
        )
        self._bulk_appends = Batcher[NewStreams, Recording](
            self._append_new_streams, max_items=1, size_of=lambda new: new.size
        )
        self._reads = Batcher[str, Sequence[Recorded[Any]]](self._read_batch, max_items=16)
        self._last_reads = Batcher[str, Recorded[Any] | None](self._read_last_batch, max_items=64)
        self._key_reads = Batcher[bytes, IdempotencyRecord | None](self._read_keys, max_items=256)

    async def append(
        self,
        stream: str,
        version: int,
        facts: Sequence[Fact],
        envelope: Envelope,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Appended:
        """See the port."""
        if not facts and idempotency_key is None:
            raise ValueError("Nothing to append: give facts, an idempotency key, or both")
        return await self._appends.submit(
            Command(
                stream=stream,
                version=version,
                facts=facts,
                states=[encode(fact) for fact in facts],
                envelope=envelope,
                idempotency_key=idempotency_key,
            )
        )

    async def append_all(
        self,
        streams: Sequence[str],
        facts: Sequence[Fact],
        envelope: Envelope,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Appended:
        """See the port."""
        if len(streams) == 1:
            return await self.append(streams[0], 0, facts, envelope, idempotency_key)
        states = [encode(fact) async for fact in yielding(facts, envelope.organization_id)]
        new = NewStreams(
            streams=streams, facts=facts, states=states, envelope=envelope, idempotency_key=idempotency_key
        )
        return await appended(new, await self._bulk_appends.submit(new))

    async def read(self, stream: str) -> Sequence[Recorded[Any]]:
        """See the port."""
        return await self._reads.submit(stream)

    async def read_until(
        self, stream: str, *, version: int | None = None, as_of: datetime | None = None
    ) -> Sequence[Recorded[Any]]:
        """See the port."""
        async with self._histories.connection(current_owner()) as connection:
            identity = await self._identify(connection)
            loaded = await load_until(connection, stream, identity, version=version, as_of=as_of)
            await add_due_snapshots(connection, [loaded])
        return loaded.events

    async def read_last(self, stream: str) -> Recorded[Any] | None:
        """See the port."""
        return await self._last_reads.submit(stream)

    async def read_page(self, organization_id: int | None, stream: str, *, after: int, limit: int) -> Page:
        """See the port."""
        async with self._histories.connection(organization_id) as connection:
            identity = await self._identify(connection)
            rows = await read_page(connection, stream, after=after, limit=limit)
            # Within the place: what the page takes of the event loop counts as use of it too.
            return await page_of(rows, identity, organization_id)

    async def read_span(self, position: int, count: int) -> Sequence[Recorded[Any]]:
        """See the port."""
        async with self._histories.connection(current_owner()) as connection:
            identity = await self._identify(connection)
            cursor = connection.cursor(binary=True)
            await cursor.execute(_READ_SPAN, (position, position + count), prepare=True)
            rows = await cursor.fetchall()
            return [decode_row(row, identity) async for row in yielding(rows, current_owner())]

    async def idempotency_record(self, digest: bytes) -> IdempotencyRecord | None:
        """See the port."""
        return await self._key_reads.submit(digest)

    async def drain(self) -> None:
        """Wait until everything that was submitted is recorded or refused."""
        await self._appends.drain()
        await self._bulk_appends.drain()

    async def _identify(self, connection: AsyncConnection) -> LogIdentity:
        if self._identity is None:
            self._identity = await read_identity(connection)
        return self._identity

    async def _append_batch(self, commands: Sequence[Command]) -> Sequence[Appended | Exception]:
        async with self._writing.connection() as connection:
            identity = await self._identify(connection)
            verdicts = await append_batch(connection, commands)
        metrics.count_verdicts(verdict for verdict, _, _ in verdicts)
        return [outcome_of(command, verdict, identity) for command, verdict in zip(commands, verdicts, strict=True)]

    async def _append_new_streams(self, batch: Sequence[NewStreams]) -> Sequence[Recording | Exception]:
        async with self._writing.connection() as connection:
            return [await append_new_streams(connection, batch[0], await self._identify(connection))]

    async def _read_batch(self, streams: Sequence[str]) -> Sequence[Sequence[Recorded[Any]]]:
        async with self._reading.connection() as connection:
            identity = await self._identify(connection)
            found = await load_streams(connection, streams, identity)
            await add_due_snapshots(connection, found.values())
        return [found[stream].events for stream in streams]

    async def _read_last_batch(self, streams: Sequence[str]) -> Sequence[Recorded[Any] | None]:
        async with self._reading.connection() as connection:
            found = await read_last(connection, streams, await self._identify(connection))
        return [found.get(stream) for stream in streams]

    async def _read_keys(self, digests: Sequence[bytes]) -> Sequence[IdempotencyRecord | None]:
        async with self._reading.connection() as connection:
            cursor = await connection.cursor(binary=True).execute(_READ_KEYS, (list(digests),), prepare=True)
            found = {
                digest: IdempotencyRecord(fingerprint=fingerprint, stream=stream, version=version, status=status)
                for digest, fingerprint, stream, version, status in await cursor.fetchall()
            }
        return [found.get(digest) for digest in digests]
