"""The event log of the running service: appends by group commit, reads by gathering."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection, sql

from application.cooperative import yielding
from application.errors import ConcurrentUpdate, IdempotencyKeyTaken
from application.ports.event_log import Appended, IdempotencyKey, IdempotencyRecord
from domain.model import Envelope, Fact, Recorded, tag_of
from infrastructure.event_log import metrics
from infrastructure.event_log.bulk_append import NewStreams, append_new_streams
from infrastructure.event_log.codec import COLUMNS, LogIdentity, decode_row, encode
from infrastructure.postgres.batching import Batcher
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA

_log = sql.Identifier(SCHEMA, LOG_TABLE).as_string(None)
_door = sql.Identifier(SCHEMA, f"{LOG_TABLE}_append").as_string(None)
_claims = sql.Identifier(SCHEMA, f"{LOG_TABLE}_claims").as_string(None)

APPEND = (
    f"SELECT verdict, last_position, at FROM {_door}(%b::int[], %b::text[], %b::bigint[], %b::text[], %b::bytea[],"
    " %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[])"
).encode()
APPEND_WITH_CLAIMS = APPEND[:-1] + b", %b::int[], %b::bytea[], %b::bytea[], %b::text[], %b::bigint[], %b::int[])"
_READ = (
    f"SELECT {COLUMNS} FROM {_log} WHERE originator_id = ANY(%s) ORDER BY originator_id, originator_version".encode()
)
_READ_SPAN = f"SELECT {COLUMNS} FROM {_log} WHERE notification_id >= %s AND notification_id < %s ORDER BY notification_id".encode()
_CLAIMED = (
    f"SELECT digest, fingerprint, stream, version, status FROM {_claims}"
    " WHERE digest = ANY(%s) AND claimed_at > now() - interval '24 hours'"
).encode()


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Facts for one stream, ready to be stored: all or none. ``version`` is the one that they follow."""

    stream: str
    version: int
    facts: Sequence[Fact]
    states: Sequence[bytes]
    envelope: Envelope
    idempotency_key: IdempotencyKey | None = None

    @property
    def weight(self) -> int:
        """Bytes, roughly, that the command costs to keep and to send."""
        return 512 + sum(map(len, self.states))


Verdict = tuple[str, int | None, datetime]


class AppendArrays:
    """A batch of commands as the arrays that the door takes."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.events: tuple[list[Any], ...] = tuple([] for _ in range(10))
        self.claims: tuple[list[Any], ...] = tuple([] for _ in range(6))

    def add(self, number: int, command: Command) -> None:
        """Add a command; numbers ascend from 1."""
        commands, streams, versions, topics, states, organizations, actors, reasons, causations, correlations = (
            self.events
        )
        envelope, version = command.envelope, command.version
        for fact, state in zip(command.facts, command.states, strict=True):
            version += 1
            commands.append(number)
            streams.append(command.stream)
            versions.append(version)
            topics.append(tag_of(fact))
            states.append(state)
            organizations.append(envelope.organization_id)
            actors.append(envelope.actor)
            reasons.append(envelope.reason)
            causations.append(envelope.causation)
            correlations.append(envelope.correlation)
        if idempotency_key := command.idempotency_key:
            row = (
                number,
                idempotency_key.digest,
                idempotency_key.fingerprint,
                command.stream,
                version,
                idempotency_key.status,
            )
            for column, value in zip(self.claims, row, strict=True):
                column.append(value)


async def append_batch(connection: AsyncConnection, commands: Sequence[Command]) -> list[Verdict]:
    """Pass a batch through the door; answer its verdict on each command, in order.

    Takes the log's lock until the connection's transaction ends, so it is a transaction's last call but one.
    """
    columns = AppendArrays()
    for number, command in enumerate(commands, 1):
        columns.add(number, command)
    with_claims = bool(columns.claims[0])
    query, values = (APPEND_WITH_CLAIMS, columns.events + columns.claims) if with_claims else (APPEND, columns.events)
    cursor = connection.cursor(binary=True)
    await cursor.execute(query, values, prepare=True)
    return await cursor.fetchall()


def outcome_of(command: Command, verdict: Verdict, identity: LogIdentity) -> Appended | Exception:
    """Answer what a verdict means to who asked."""
    outcome, last, at = verdict
    match outcome:
        case "appended":
            return _appended(command, last or 0, at, identity)
        case "claimed":
            return IdempotencyKeyTaken()
        case _:
            return ConcurrentUpdate()


def _appended(command: Command, last: int, at: datetime, identity: LogIdentity) -> Appended:
    envelope, before = command.envelope, last - len(command.facts)
    events = [
        Recorded(
            stream=command.stream,
            version=command.version + n,
            position=before + n,
            log_id=identity.at(before + n),
            recorded_at=at,
            fact=fact,
            organization_id=envelope.organization_id,
            actor=envelope.actor,
            reason=envelope.reason,
            causation=envelope.causation,
            correlation=envelope.correlation,
        )
        for n, fact in enumerate(command.facts, 1)
    ]
    return Appended(last, events)


class PostgresEventLog:
    """The port ``EventLog`` on Postgres."""

    def __init__(self, writing: Pool, reading: Pool) -> None:
        """Append over ``writing``, which nobody else uses, and read over ``reading``."""
        self._writing = writing
        self._reading = reading
        self._identity: LogIdentity | None = None
        self._appends = Batcher[Command, Appended](
            self._append_batch, max_items=512, size_of=lambda command: command.weight
        )
        self._beginnings = Batcher[NewStreams, Appended](self._begin_one, max_items=1, size_of=lambda new: new.weight)
        self._reads = Batcher[str, Sequence[Recorded[Any]]](self._read_batch, max_items=16)
        self._claims = Batcher[bytes, IdempotencyRecord | None](self._claimed_batch, max_items=256)

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
            raise ValueError("A command without facts and without a claim is nothing to record")
        states = [encode(fact) for fact in facts]
        return await self._appends.submit(
            Command(
                stream=stream,
                version=version,
                facts=facts,
                states=states,
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
        states = [encode(fact) async for fact in yielding(facts)]
        return await self._beginnings.submit(
            NewStreams(streams=streams, facts=facts, states=states, envelope=envelope, idempotency_key=idempotency_key)
        )

    async def read(self, stream: str) -> Sequence[Recorded[Any]]:
        """See the port."""
        return await self._reads.submit(stream)

    async def read_span(self, position: int, count: int) -> Sequence[Recorded[Any]]:
        """See the port."""
        async with self._reading.connection() as connection:
            identity = await self._identify(connection)
            cursor = connection.cursor(binary=True)
            await cursor.execute(_READ_SPAN, (position, position + count), prepare=True)
            return [decode_row(row, identity) for row in await cursor.fetchall()]

    async def idempotency_record(self, digest: bytes) -> IdempotencyRecord | None:
        """See the port."""
        return await self._claims.submit(digest)

    async def drain(self) -> None:
        """Wait until everything that was asked for is recorded or refused."""
        await self._appends.drain()
        await self._beginnings.drain()

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

    async def _begin_one(self, batch: Sequence[NewStreams]) -> Sequence[Appended | Exception]:
        async with self._writing.connection() as connection:
            return [await append_new_streams(connection, batch[0], await self._identify(connection))]

    async def _read_batch(self, streams: Sequence[str]) -> Sequence[Sequence[Recorded[Any]]]:
        async with self._reading.connection() as connection:
            identity = await self._identify(connection)
            cursor = await connection.cursor(binary=True).execute(_READ, (list(set(streams)),), prepare=True)
            found: dict[str, list[Recorded[Any]]] = {}
            for row in await cursor.fetchall():
                found.setdefault(row[1], []).append(decode_row(row, identity))
        return [found.get(stream, []) for stream in streams]

    async def _claimed_batch(self, digests: Sequence[bytes]) -> Sequence[IdempotencyRecord | None]:
        async with self._reading.connection() as connection:
            cursor = await connection.cursor(binary=True).execute(_CLAIMED, (list(digests),), prepare=True)
            found = {
                digest: IdempotencyRecord(fingerprint=fingerprint, stream=stream, version=version, status=status)
                for digest, fingerprint, stream, version, status in await cursor.fetchall()
            }
        return [found.get(digest) for digest in digests]


async def read_identity(connection: AsyncConnection) -> LogIdentity:
    """Answer the log's ids and the positions since when they are in force."""
    schema = sql.Identifier(SCHEMA).as_string(None)
    cursor = await connection.execute(f"SELECT since_position, id FROM {schema}.log_identity".encode())
    return LogIdentity(await cursor.fetchall())
