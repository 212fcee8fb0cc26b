"""Facts, and their envelopes: as a command gives them, and as the log records them."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid5

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A thing that happened, named in the words of the business.

    Each fact has a stable tag (``task.filed.v1``). The tag is the stored topic, the JSON ``type`` and the type of the
    webhook; it is never a Python path, so code can move. The only default of a field is None, which is not stored:
    another default could not be changed without changing history.
    """


class Personal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The personal data of a fact, in its one member ``personal``.

    ``subject`` identifies the person. It is an id of our own that reveals nothing about the person. Personal data is
    encrypted and erased by subject.
    """

    subject: str


F_co = TypeVar("F_co", bound=Fact, covariant=True)
S = TypeVar("S")


class Recorded(msgspec.Struct, Generic[F_co], frozen=True, kw_only=True):
    """An event: a fact with its place in the log, its time, its cause and its reason.

    ``position`` counts all events of the log from 1 without gaps; ``version`` counts the events of one stream from 1.
    ``recorded_at`` is UTC and never decreases with the position. ``log_id`` is the id of the log at the time of recording.
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
        """The id of the event, a UUIDv5 of the log's id and ``stream@version``: every process computes the same one."""
        return uuid5(self.log_id, f"{self.stream}@{self.version}")

    @property
    def originator_id(self) -> str:
        """The stream, by the name that the ``eventsourcing`` library uses."""
        return self.stream

    @property
    def originator_version(self) -> int:
        """The version, by the name that the ``eventsourcing`` library uses."""
        return self.version


class Snapshot(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """The state of an aggregate up to a version, and the bytes of the events that led to it, as they are stored.

    A loaded stream may begin with a ``Recorded`` whose ``fact`` is a snapshot: it stands for the events up to its version.
    """

    state: S
    bytes: int


def fold(evolve: Callable[[S | None, Recorded[Any]], S], events: Iterable[Recorded[Any]]) -> S | None:
    """Return the state after all events of a stream, oldest first, or after a snapshot and those that follow it.

    Returns None for an empty stream.
    """
    state: S | None = None
    for event in events:
        fact: Fact | Snapshot[S] = event.fact
        state = fact.state if isinstance(fact, Snapshot) else evolve(state, event)
    return state


def tag_of(fact: Fact | type[Fact]) -> str:
    """Return the stable tag of a fact or of its type, such as ``task.filed.v1``."""
    return _tag(fact if isinstance(fact, type) else type(fact))


@cache
def _tag(kind: type[Fact]) -> str:
    return str(kind.__struct_config__.tag)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The cause of a command's facts: organisation, actor and reason.

    ``actor`` has the form ``member/<id>``, ``token/<id>``, ``operator/<number>``, ``policy/<name>`` or ``cli``;
    ``causation`` and ``correlation`` are request ids or positions of events.
    """

    organization_id: int
    actor: str
    reason: str | None = None
    causation: str | None = None
    correlation: str | None = None
