"""What a policy is: whenever this happened, then these are to happen."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from psycopg import AsyncConnection

from application.ports.event_log import Envelope
from domain.model import Recorded
from infrastructure.event_log.reader import Topics, Wanted
from infrastructure.subscriptions.projection import Projection


@runtime_checkable
class Policy(Protocol):
    """Answers facts with new facts, and with rows for those who carry something out.

    Nothing is ever sent, dialled or remembered in the process: what a policy does is undone by a rollback.
    """

    @property
    def name(self) -> str:
        """Its checkpoint's name, never changed."""
        ...

    @property
    def topics(self) -> frozenset[str]:
        """The tags of the facts that it reacts to, old ones that are brought up to date included; no others are passed on."""
        ...

    @property
    def marks(self) -> Sequence[str]:
        """What the first fact of a stream holds, as stored, if the stream concerns the policy: one of these; () is any."""
        ...

    async def react(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """React to the events, in the transaction that moves the checkpoint: rows first, then the log's door.

        The events of a stream come in their order, each once; those of a stream that was parked come late. Raises what
        lies in the events, which parks their streams.
        """
        ...


def caused(policy: str, event: Recorded[Any]) -> Envelope:
    """Answer the envelope of what the policy answers to the event: who caused it can be walked back to the request."""
    return Envelope(
        organization_id=event.organization_id or 0,
        actor=actor_of(policy),
        causation=str(event.position),
        correlation=event.correlation,
    )


def actor_of(policy: str) -> str:
    """Answer as whom a policy appends."""
    return f"policy/{policy}"


Handler = Projection | Policy
"""What a runner can run."""


def wanted_by(handler: Handler) -> Wanted:
    """Answer what a handler wants to see of the log."""
    return Topics(handler.topics, handler.marks) if isinstance(handler, Policy) else handler.wanted
