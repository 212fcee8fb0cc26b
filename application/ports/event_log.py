"""What the use cases need of the world."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from domain.model import Envelope, Fact, Recorded


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """An Idempotency-Key: ``digest`` names scope and key, ``fingerprint`` the request that it stands for."""

    digest: bytes
    fingerprint: bytes
    status: int = 200


class IdempotencyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim has done: the answer is the stream as of that version."""

    fingerprint: bytes
    stream: str
    version: int
    status: int


class Appended(msgspec.Struct, frozen=True):
    """What a command recorded, and the log position of its end. Of a claim alone: the log's head."""

    position: int
    events: Sequence[Recorded[Any]]


class EventLog(Protocol):
    """The record. Appending is durable when it returns."""

    async def append(
        self,
        stream: str,
        version: int,
        facts: Sequence[Fact],
        envelope: Envelope,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Appended:
        """Record ``facts`` as versions ``version + 1 …`` of the stream, all or none, with the claim if one is given.

        Raises ConcurrentUpdate when one of the versions exists, IdempotencyKeyTaken when the claim exists, and
        StorageUnavailable when nobody can say that it is recorded.
        """
        ...

    async def append_all(
        self,
        streams: Sequence[str],
        facts: Sequence[Fact],
        envelope: Envelope,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Appended:
        """Begin a new stream with each of the facts, all or none, at positions one after another in their order.

        The claim is of the first stream. Raises as ``append`` does: ConcurrentUpdate when one of the streams exists.
        """
        ...

    async def read(self, stream: str) -> Sequence[Recorded[Any]]:
        """Answer the stream's facts, oldest first; none for an unknown stream."""
        ...

    async def read_span(self, position: int, count: int) -> Sequence[Recorded[Any]]:
        """Answer the facts from that log position on, at most ``count``."""
        ...

    async def idempotency_record(self, digest: bytes) -> IdempotencyRecord | None:
        """Answer what the claim of the last 24 hours has done, if any."""
        ...


class IdSequences(Protocol):
    """The numbers of new queues and callbacks: never drawn twice, and ascending unless drawn at the same time."""

    async def new_queue_id(self) -> int:
        """Draw the number of a new queue. Raises StorageUnavailable."""
        ...

    async def new_callback_ids(self, count: int) -> Sequence[int]:
        """Draw the numbers of so many new callbacks, ascending. Raises StorageUnavailable."""
        ...
