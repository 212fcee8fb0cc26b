"""Bulk append: very many new streams at once, as one command, so all of them are created or none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from psycopg import AsyncConnection

from application.cooperative import yielding
from application.errors import ConcurrentUpdate, IdempotencyKeyTaken
from application.ports.event_log import Appended, IdempotencyKey
from domain.model import Envelope, Fact, Recorded, tag_of
from infrastructure.event_log import metrics
from infrastructure.event_log.append import APPEND_FUNCTION
from infrastructure.event_log.identity import LogIdentity

# The envelope, which all events share, is sent once. One row is returned: the verdict on the one command.
_APPEND_NEW_STREAMS = f"""
    SELECT verdict, last_position, at
    FROM {APPEND_FUNCTION}(
        array_fill(1, %(size)b::int[]),
        %(streams)b::text[],
        array_fill(1::bigint, %(size)b::int[]),
        %(topics)b::text[],
        %(states)b::bytea[],
        array_fill(%(organization)b::bigint, %(size)b::int[]),
        array_fill(%(actor)b::text, %(size)b::int[]),
        array_fill(%(reason)b::text, %(size)b::int[]),
        array_fill(%(causation)b::text, %(size)b::int[]),
        array_fill(%(correlation)b::text, %(size)b::int[]),
        %(claim)b::int[],
        %(digest)b::bytea[],
        %(fingerprint)b::bytea[],
        %(claimed)b::text[],
        %(version)b::bigint[],
        %(status)b::int[]
    )
""".encode()

_OVERHEAD_BYTES = 512


class NewStreams(msgspec.Struct, frozen=True, kw_only=True):
    """The first fact of each of many new streams, encoded. The idempotency key is that of the first stream."""

    streams: Sequence[str]
    facts: Sequence[Fact]
    states: Sequence[bytes]
    envelope: Envelope
    idempotency_key: IdempotencyKey | None = None

    @property
    def size(self) -> int:
        """Bytes, roughly, that it takes to store and to send them."""
        return _OVERHEAD_BYTES * len(self.states) + sum(map(len, self.states))


class Recording(NamedTuple):
    """The last position of a bulk append, and its time."""

    last: int
    at: datetime
    identity: LogIdentity


async def append_new_streams(
    connection: AsyncConnection, new: NewStreams, identity: LogIdentity
) -> Recording | Exception:
    """Append the first fact of each stream; return where they were recorded, or the exception to raise."""
    cursor = connection.cursor(binary=True)
    await cursor.execute(_APPEND_NEW_STREAMS, _values(new), prepare=True)
    ((verdict, last, at),) = await cursor.fetchall()
    metrics.count_verdicts([verdict])
    if verdict != "appended":
        return IdempotencyKeyTaken() if verdict == "claimed" else ConcurrentUpdate()
    return Recording(last, at, identity)


async def appended(new: NewStreams, recording: Recording) -> Appended:
    """Return the recorded facts. Called after the append, so that others need not wait for it."""
    (last, at, identity), envelope, before = recording, new.envelope, recording.last - len(new.streams)
    pairs = enumerate(zip(new.streams, new.facts, strict=True), before + 1)
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
        async for position, (stream, fact) in yielding(pairs, envelope.organization_id)
    ]
    return Appended(last, events)


def _values(new: NewStreams) -> dict[str, Any]:
    envelope, keys = new.envelope, [new.idempotency_key] if new.idempotency_key else []
    return {
        "size": [len(new.streams)],
        "streams": list(new.streams),
        "topics": [tag_of(fact) for fact in new.facts],
        "states": list(new.states),
        "organization": envelope.organization_id,
        "actor": envelope.actor,
        "reason": envelope.reason,
        "causation": envelope.causation,
        "correlation": envelope.correlation,
        "claim": [1 for _ in keys],
        "digest": [key.digest for key in keys],
        "fingerprint": [key.fingerprint for key in keys],
        "claimed": [new.streams[0] for _ in keys],
        "version": [1 for _ in keys],
        "status": [key.status for key in keys],
    }
