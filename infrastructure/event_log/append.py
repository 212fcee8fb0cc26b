"""Appending to the log: a batch of commands is passed to the log's one function, which returns a verdict on each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog
from psycopg import AsyncConnection

from application.errors import ConcurrentUpdate, IdempotencyKeyTaken
from application.ports.event_log import Appended, IdempotencyKey
from domain.model import Envelope, Fact, Recorded, tag_of
from infrastructure.event_log import metrics
from infrastructure.event_log.identity import LogIdentity
from infrastructure.postgres.arrays import ByteaArray, Int4Array, Int8Array, TextArray
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA, quoted

APPEND_FUNCTION = quoted(SCHEMA, f"{LOG_TABLE}_append")
_EVENT_ARRAYS = """
    %b::int[], %b::text[], %b::bigint[], %b::text[], %b::bytea[],
    %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[]
"""
_KEY_ARRAYS = "%b::int[], %b::bytea[], %b::bytea[], %b::text[], %b::bigint[], %b::int[]"
APPEND = f"""
    SELECT verdict, last_position, at
    FROM {APPEND_FUNCTION}({_EVENT_ARRAYS})
""".encode()
_APPEND_WITH_KEYS = f"""
    SELECT verdict, last_position, at
    FROM {APPEND_FUNCTION}({_EVENT_ARRAYS}, {_KEY_ARRAYS})
""".encode()

_OVERHEAD_BYTES = 512

_log = structlog.get_logger(__name__)

Verdict = tuple[str, int | None, datetime]
"""``appended``, ``conflict``, ``claimed`` or ``foreign``; the position of the command's last event if it was appended; the time."""


class ForeignStream(Exception):
    """A command would continue a stream that belongs to another organisation: the program that sent it is wrong."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Facts for one stream, encoded: all or none are appended. ``version`` is the stream's version before them."""

    stream: str
    version: int
    facts: Sequence[Fact]
    states: Sequence[bytes]
    envelope: Envelope
    idempotency_key: IdempotencyKey | None = None

    @property
    def size(self) -> int:
        """Bytes, roughly, that it takes to store and to send the command."""
        return _OVERHEAD_BYTES + sum(map(len, self.states))


class _Arrays:
    """A batch of commands as the arrays that the log's function takes."""

    def __init__(self) -> None:
        self.events: tuple[list[Any], ...] = (
            *(Int4Array(), TextArray(), Int8Array(), TextArray(), ByteaArray()),
            *(Int8Array(), TextArray(), TextArray(), TextArray(), TextArray()),
        )
        self.keys: tuple[list[Any], ...] = (
            *(Int4Array(), ByteaArray(), ByteaArray()),
            *(TextArray(), Int8Array(), Int4Array()),
        )

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
        if key := command.idempotency_key:
            row = (number, key.digest, key.fingerprint, command.stream, version, key.status)
            for column, value in zip(self.keys, row, strict=True):
                column.append(value)

    def call(self) -> tuple[bytes, tuple[list[Any], ...]]:
        """Return the shortest call of the function that passes them, and its values."""
        return (_APPEND_WITH_KEYS, self.events + self.keys) if self.keys[0] else (APPEND, self.events)


async def append_batch(connection: AsyncConnection, commands: Sequence[Command]) -> list[Verdict]:
    """Append a batch of commands; return the verdict on each, in order.

    Takes the log's lock until the connection's transaction ends, so it is a transaction's last statement but one.
    """
    arrays = _Arrays()
    for number, command in enumerate(commands, 1):
        arrays.add(number, command)
    cursor = connection.cursor(binary=True)
    await cursor.execute(*arrays.call(), prepare=True)
    return await cursor.fetchall()


def outcome_of(command: Command, verdict: Verdict, identity: LogIdentity) -> Appended | Exception:
    """Return what the command appended, or the exception to raise for its verdict."""
    name, last, at = verdict
    match name:
        case "appended":
            return _appended(command, last or 0, at, identity)
        case "claimed":
            return IdempotencyKeyTaken()
        case "foreign":
            _note_foreign(command)
            return ForeignStream(f"{command.stream} does not belong to organisation {command.envelope.organization_id}")
        case _:
            return ConcurrentUpdate()


def _note_foreign(command: Command) -> None:
    """Report a command that must not exist: an operator has to find the program that sent it."""
    metrics.FOREIGN.inc()
    envelope = command.envelope
    _log.error(
        "foreign stream refused",
        stream=command.stream,
        organization=envelope.organization_id,
        actor=envelope.actor,
        correlation=envelope.correlation,
    )


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
