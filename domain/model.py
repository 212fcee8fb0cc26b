"""Facts, and the envelope that a fact gets when it is recorded."""

from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID, uuid5

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Something that happened, in the business's words.

    Each fact has a stable tag (``task.filed.v1``). The tag is the stored topic, the JSON ``type`` and,
    later, the type of the webhook; it is never a Python path, so that code may move. Fields with a default
    have the default None, which is not stored: another default could not be changed without changing history.
    """


class Personal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of a fact that tell of a person; they stand under the fact's one member ``personal``.

    ``subject`` names whose they are. It is an id of our own that says nothing about the person, and the
    unit by which personal fields are encrypted and erased.
    """

    subject: str


F_co = TypeVar("F_co", bound=Fact, covariant=True)


class Recorded(msgspec.Struct, Generic[F_co], frozen=True, kw_only=True):
    """A fact with its envelope: where it stands in the log, who caused it, when and why.

    ``position`` counts all events of the log from 1 without gaps; ``version`` counts those of one stream
    from 1. ``recorded_at`` is UTC and never runs backwards along the positions. ``log_id`` is the id that the log
    had when the event was recorded.
    """

    stream: str
    version: int
    position: int
    log_id: UUID
    recorded_at: datetime
    fact: F_co
    organization_id: int | None = None
    actor: str | None = None
    reason: str | None = None
    causation: str | None = None
    correlation: str | None = None

    @property
    def event_id(self) -> UUID:
        """The event's id, the same wherever it is computed: UUIDv5 of the log's id and ``stream@version``."""
        return uuid5(self.log_id, f"{self.stream}@{self.version}")

    @property
    def originator_id(self) -> str:
        """The stream, under the name that the ``eventsourcing`` library gives it."""
        return self.stream

    @property
    def originator_version(self) -> int:
        """The version, under the name that the ``eventsourcing`` library gives it."""
        return self.version


def tag_of(fact: Fact | type[Fact]) -> str:
    """Answer the stable tag of a fact or of its type, such as ``task.filed.v1``."""
    return str(fact.__struct_config__.tag)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Who causes the facts of a command, for which organisation, and why.

    ``actor`` reads ``member/<id>``, ``token/<id>``, ``operator/<number>``, ``policy/<name>`` or ``cli``;
    ``causation`` and ``correlation`` are request ids or positions of events.
    """

    organization_id: int
    actor: str
    reason: str | None = None
    causation: str | None = None
    correlation: str | None = None
