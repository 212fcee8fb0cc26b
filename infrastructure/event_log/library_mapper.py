"""Our facts as events of the ``eventsourcing`` library."""

from dataclasses import dataclass, field
from typing import Any, cast

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, MapperDeserialisationError, Notification, StoredEvent

from domain.catalogue import FACTS
from domain.model import Recorded, tag_of
from infrastructure.event_log.codec import Row, decode_row, encode
from infrastructure.event_log.identity import LogIdentity
from infrastructure.event_log.upcasters import UPCASTERS


def is_fact(topic: str) -> bool:
    """Return whether the topic is the tag of a fact, of the present shape or an older one."""
    return topic in FACTS or topic in UPCASTERS


@dataclass(frozen=True)
class StoredFact(Notification):
    """A stored event that is one of our facts, with its whole row: the library's class cannot hold the envelope."""

    row: Row = field(repr=False)
    identity: LogIdentity = field(repr=False, compare=False)

    @classmethod
    def of(cls, row: Row, identity: LogIdentity) -> "StoredFact":
        """Create one from a row with ``infrastructure.event_log.codec.COLUMNS``."""
        position, stream, version, topic, state = row[:5]
        return cls(stream, version, topic, state, position, row, identity)

    @property
    def envelope(self) -> tuple[int | None, str | None, str | None, str | None, str | None]:
        """Organisation, actor, reason, causation and correlation."""
        return self.row[6:]


class FactMapper(Mapper[str]):
    """Maps our facts to and from ``domain.model.Recorded``, and all other events as the library's mapper does.

    Facts are stored as JSON; the library's settings for compression and encryption do not apply, since perezvon reads
    them too.
    """

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """Return the event as it is stored. A fact keeps its envelope; the log assigns a new position, time and log id."""
        if not isinstance(domain_event, Recorded):
            return super().to_stored_event(domain_event)
        event = cast("Recorded[Any]", domain_event)
        row = (
            event.position,
            event.stream,
            event.version,
            tag_of(event.fact),
            encode(event.fact),
            event.recorded_at,
            event.organization_id,
            event.actor,
            event.reason,
            event.causation,
            event.correlation,
        )
        return StoredFact.of(row, LogIdentity([(event.position, event.log_id)]))

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[str]:
        """Return the event that was stored.

        Raises UnknownFact for a fact that does not decode as its tag says, and MapperDeserialisationError for one
        without its envelope, as from a notification log on another machine.
        """
        if isinstance(stored_event, StoredFact):
            return decode_row(stored_event.row, stored_event.identity)
        if is_fact(stored_event.topic):
            raise MapperDeserialisationError(
                f"{stored_event.originator_id}@{stored_event.originator_version} has no envelope and cannot be replayed: "
                "read it from the log itself"
            )
        return super().to_domain_event(stored_event)
