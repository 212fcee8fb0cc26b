"""The port ``EventLog`` in memory, for unit tests of use cases. It passes the contract suite of the port."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from application.errors import ConcurrentUpdate, IdempotencyKeyTaken
from application.ports.event_log import Appended, IdempotencyKey, IdempotencyRecord, Page
from domain.model import Envelope, Fact, Recorded


class InMemoryEventLog:
    """An event log that keeps events in a list and idempotency records in a dictionary."""

    def __init__(self) -> None:
        self.events: list[Recorded[Any]] = []
        self.records: dict[bytes, IdempotencyRecord] = {}

    async def append(
        self,
        stream: str,
        version: int,
        facts: Sequence[Fact],
        envelope: Envelope,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Appended:
        if not facts and idempotency_key is None:
            raise ValueError("Nothing to record")
        if idempotency_key and idempotency_key.digest in self.records:
            raise IdempotencyKeyTaken
        if facts and len(await self.read(stream)) != version:
            raise ConcurrentUpdate
        events = [
            self._recorded(stream, version + n, len(self.events) + n, fact, envelope) for n, fact in enumerate(facts, 1)
        ]
        self.events += events
        if idempotency_key:
            self._note(idempotency_key, stream, version + len(facts))
        return Appended(len(self.events), events)

    async def append_all(
        self,
        streams: Sequence[str],
        facts: Sequence[Fact],
        envelope: Envelope,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Appended:
        if idempotency_key and idempotency_key.digest in self.records:
            raise IdempotencyKeyTaken
        if {event.stream for event in self.events} & set(streams):
            raise ConcurrentUpdate
        pairs = zip(streams, facts, strict=True)
        events = [
            self._recorded(stream, 1, len(self.events) + n, fact, envelope) for n, (stream, fact) in enumerate(pairs, 1)
        ]
        self.events += events
        if idempotency_key:
            self._note(idempotency_key, streams[0], 1)
        return Appended(len(self.events), events)

    async def read(self, stream: str) -> Sequence[Recorded[Any]]:
        return [event for event in self.events if event.stream == stream]

    async def read_until(
        self, stream: str, *, version: int | None = None, as_of: datetime | None = None
    ) -> Sequence[Recorded[Any]]:
        return [
            event
            for event in await self.read(stream)
            if (version is None or event.version <= version) and (as_of is None or event.recorded_at <= as_of)
        ]

    async def read_last(self, stream: str) -> Recorded[Any] | None:
        events = await self.read(stream)
        return events[-1] if events else None

    async def read_page(self, organization_id: int | None, stream: str, *, after: int, limit: int) -> Page:
        events = [event for event in await self.read(stream) if event.version > after]
        return Page(events[:limit], has_next=len(events) > limit)

    async def read_span(self, position: int, count: int) -> Sequence[Recorded[Any]]:
        return self.events[position - 1 : position - 1 + count]

    async def idempotency_record(self, digest: bytes) -> IdempotencyRecord | None:
        return self.records.get(digest)

    def _note(self, key: IdempotencyKey, stream: str, version: int) -> None:
        self.records[key.digest] = IdempotencyRecord(
            fingerprint=key.fingerprint, stream=stream, version=version, status=key.status
        )

    def _recorded(self, stream: str, version: int, position: int, fact: Fact, envelope: Envelope) -> Recorded[Any]:
        return Recorded(
            stream=stream,
            version=version,
            position=position,
            log_id=UUID(int=0),
            recorded_at=datetime.now(UTC),
            fact=fact,
            organization_id=envelope.organization_id,
            actor=envelope.actor,
            reason=envelope.reason,
            causation=envelope.causation,
            correlation=envelope.correlation,
        )
