"""Ports to the event log and to the sequences of ids."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from domain.model import Envelope, Fact, Recorded


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """An idempotency key: ``digest`` identifies its owner and the key, ``fingerprint`` the request that it was used for."""

    digest: bytes
    fingerprint: bytes
    status: int = 200


class IdempotencyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an idempotency key's command: the stream, up to that version."""

    fingerprint: bytes
    stream: str
    version: int
    status: int


class Appended(msgspec.Struct, frozen=True):
    """The events that a command recorded, and the log position of the last one.

    For a command that recorded an idempotency key only, the position is the log's head.
    """

    position: int
    events: Sequence[Recorded[Any]]


class Page(msgspec.Struct, frozen=True):
    """A part of a stream's events, without snapshots; ``has_next`` is whether more events follow."""

    events: Sequence[Recorded[Any]]
    has_next: bool


class EventLog(Protocol):
    """The event log. Appended facts are durable when ``append`` returns."""

    async def append(
        self,
        stream: str,
        version: int,
        facts: Sequence[Fact],
        envelope: Envelope,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Appended:
        """Append ``facts`` as versions ``version + 1 …`` of the stream, all or none, with the idempotency key if given.

        Raises ConcurrentUpdate if one of the versions exists, IdempotencyKeyTaken if the key is recorded, and
        StorageUnavailable if it is not known whether the facts are recorded.
        """
        ...

    async def append_all(
        self,
        streams: Sequence[str],
        facts: Sequence[Fact],
        envelope: Envelope,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Appended:
        """Append each of the facts to a new stream, all or none, at consecutive positions in their order.

        The idempotency key is recorded with the first stream. Raises as ``append`` does: ConcurrentUpdate if one of the
        streams exists.
        """
        ...

    async def read(self, stream: str) -> Sequence[Recorded[Any]]:
        """Return the stream's events, oldest first, or a snapshot and the events after it; none for an unknown stream."""
        ...

    async def read_until(
        self, stream: str, *, version: int | None = None, as_of: datetime | None = None
    ) -> Sequence[Recorded[Any]]:
        """Return what ``read`` would have returned at that version, and at that time."""
        ...

    async def read_last(self, stream: str) -> Recorded[Any] | None:
        """Return the stream's last event; None for an unknown stream."""
        ...

    async def read_page(self, organization_id: int | None, stream: str, *, after: int, limit: int) -> Page:
        """Return the events after that version, at most ``limit`` of them and fewer if they are large.

        The organisation is the one that reads, None for commands. Raises ShareExhausted.
        """
        ...

    async def read_span(self, position: int, count: int) -> Sequence[Recorded[Any]]:
        """Return at most ``count`` events, from that log position on."""
        ...

    async def idempotency_record(self, digest: bytes) -> IdempotencyRecord | None:
        """Return the result of the idempotency key with that digest, if it was recorded in the last 24 hours."""
        ...


class IdSequences(Protocol):
    """Sequences of the ids of queues and callbacks: unique, and ascending except for concurrent draws."""

    async def new_queue_id(self) -> int:
        """Return the id of a new queue. Raises StorageUnavailable."""
        ...

    async def new_callback_ids(self, count: int) -> Sequence[int]:
        """Return the ids of ``count`` new callbacks, ascending. Raises StorageUnavailable."""
        ...
