"""Beginning very many streams at once: to the door they are one command, so it takes all or none."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection, sql

from application.cooperative import yielding
from application.errors import ConcurrentUpdate, IdempotencyKeyTaken
from application.ports.event_log import Appended, IdempotencyKey
from domain.model import Envelope, Fact, Recorded, tag_of
from infrastructure.event_log import metrics
from infrastructure.event_log.codec import LogIdentity
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA

_door = sql.Identifier(SCHEMA, f"{LOG_TABLE}_append").as_string(None)

# What all events share is sent once. One row comes back: the verdict on the one command.
_BEGIN = (
    f"SELECT verdict, last_position, at FROM {_door}(array_fill(1, %(size)b::int[]), %(streams)b::text[],"
    " array_fill(1::bigint, %(size)b::int[]), %(topics)b::text[], %(states)b::bytea[],"
    " array_fill(%(organization)b::bigint, %(size)b::int[]), array_fill(%(actor)b::text, %(size)b::int[]),"
    " array_fill(%(reason)b::text, %(size)b::int[]), array_fill(%(causation)b::text, %(size)b::int[]),"
    " array_fill(%(correlation)b::text, %(size)b::int[]), %(claim)b::int[], %(digest)b::bytea[],"
    " %(fingerprint)b::bytea[], %(claimed)b::text[], %(version)b::bigint[], %(status)b::int[])"
).encode()


class NewStreams(msgspec.Struct, frozen=True, kw_only=True):
    """The first fact of each of many new streams, ready to be stored. A claim is of the first stream."""

    streams: Sequence[str]
    facts: Sequence[Fact]
    states: Sequence[bytes]
    envelope: Envelope
    idempotency_key: IdempotencyKey | None = None

    @property
    def weight(self) -> int:
        """Bytes, roughly, that they cost to keep and to send."""
        return 512 * len(self.states) + sum(map(len, self.states))


async def append_new_streams(
    connection: AsyncConnection, new: NewStreams, identity: LogIdentity
) -> Appended | Exception:
    """Pass them through the door; answer what is recorded, or why nothing is."""
    envelope, claims = new.envelope, [new.idempotency_key] if new.idempotency_key else []
    values: dict[str, Any] = {
        "size": [len(new.streams)],
        "streams": list(new.streams),
        "topics": [tag_of(fact) for fact in new.facts],
        "states": list(new.states),
        "organization": envelope.organization_id,
        "actor": envelope.actor,
        "reason": envelope.reason,
        "causation": envelope.causation,
        "correlation": envelope.correlation,
        "claim": [1 for _ in claims],
        "digest": [idempotency_key.digest for idempotency_key in claims],
        "fingerprint": [idempotency_key.fingerprint for idempotency_key in claims],
        "claimed": [new.streams[0] for _ in claims],
        "version": [1 for _ in claims],
        "status": [idempotency_key.status for idempotency_key in claims],
    }
    cursor = connection.cursor(binary=True)
    await cursor.execute(_BEGIN, values, prepare=True)
    ((verdict, last, at),) = await cursor.fetchall()
    metrics.count_verdicts([verdict])
    if verdict != "appended":
        return IdempotencyKeyTaken() if verdict == "claimed" else ConcurrentUpdate()
    before = last - len(new.streams)
    events = [
        Recorded(
            stream=stream,
            version=1,
            position=position,
            log_id=identity.at(position),
            recorded_at=at,
            fact=fact,
            organization_id=envelope.organization_id,
            actor=envelope.actor,
            reason=envelope.reason,
            causation=envelope.causation,
            correlation=envelope.correlation,
        )
        async for position, (stream, fact) in yielding(enumerate(zip(new.streams, new.facts, strict=True), before + 1))
    ]
    return Appended(last, events)
