"""Handlers: what projections and policies have in common, so that one runner runs both."""

from collections.abc import Sequence
from typing import Any, Protocol, get_args

import msgspec
from psycopg import AsyncConnection

from application.ports.event_log import Envelope
from domain.model import Fact, Recorded, tag_of
from infrastructure.event_log.reader import BATCH_EVENTS, EventFilter, Topics
from infrastructure.event_log.upcasters import UPCASTERS

FactTypes = frozenset[type[Fact]]


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters with which a runner runs a handler.

    Args:
        batch_events: upper bound on the events of a batch.
        rest_s: pause after a small batch, in seconds, in which more events may gather.
        readers_end_rest: a reader that waits for the handler's view ends the pause.
        skips_quiet_commits: batches without a matching event move the checkpoint only from time to time, because the
            handler writes nothing else for them.
    """

    batch_events: int
    rest_s: float
    readers_end_rest: bool
    skips_quiet_commits: bool


VIEW_TUNING = Tuning(
    batch_events=BATCH_EVENTS,
    rest_s=0.5,  # unless a reader waits: in a steady flow, half of a worker's load is to commit views
    readers_end_rest=True,
    skips_quiet_commits=False,
)
POLICY_TUNING = Tuning(
    batch_events=1000,  # its appends hold the log's lock, and so delay all other appends
    rest_s=0.1,
    readers_end_rest=False,
    skips_quiet_commits=True,
)


class Handler(Protocol):
    """A projection or a policy. It reads the log in order and writes in the transaction that moves its checkpoint.

    A handler never sends, dials or remembers anything outside of that transaction: a rollback undoes all of its work.
    """

    @property
    def name(self) -> str:
        """Name of its checkpoint; never changed."""
        ...

    @property
    def summary(self) -> str:
        """One line for the command line: the question that a view answers, or the rule of a policy."""
        ...

    @property
    def handled(self) -> FactTypes:
        """Types of the facts that it handles; ``Fact`` is any."""
        ...

    @property
    def ignored(self) -> FactTypes:
        """Types of the facts of the same streams that it ignores. A test checks that no type is left unnamed."""
        ...

    @property
    def subscription(self) -> EventFilter:
        """Filter of the events that are passed to it."""
        ...

    @property
    def tuning(self) -> Tuning:
        """Parameters for the runner."""
        ...

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """Handle the events in the open transaction of the connection, which also moves the checkpoint.

        The events of a stream come in their order, each once; those of a parked stream come late. A policy locks its
        rows first, and appends to the log last. Raises errors that the events cause, which parks their streams.
        """
        ...


def fact_types(union: Any) -> FactTypes:
    """Return the types in a union of facts, or the single type that it is."""
    return frozenset(get_args(union) or (union,))


def topics_of(facts: FactTypes, first_event_contains: Sequence[str] = ()) -> Topics:
    """Return the filter that selects these facts, stored under their present tags or an older version of them.

    With ``first_event_contains``, only streams whose first event, as stored, contains one of these texts are selected.
    """
    tags = frozenset(map(tag_of, facts))
    names = {_without_version(tag) for tag in tags}
    return Topics(tags | {tag for tag in UPCASTERS if _without_version(tag) in names}, first_event_contains)


def envelope_for(policy: str, event: Recorded[Any]) -> Envelope:
    """Return the envelope of facts that the policy appends because of the event: it leads back to the request."""
    return Envelope(
        organization_id=event.organization_id or 0,
        actor=actor_of(policy),
        causation=str(event.position),
        correlation=event.correlation,
    )


def actor_of(policy: str) -> str:
    """Return the actor under which a policy appends."""
    return f"policy/{policy}"


def _without_version(tag: str) -> str:
    return tag.rpartition(".v")[0]
