"""The port to a telephone switch: it rings A, then B, and joins them (telephony, The port)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec

from application.ports.diagnosis import Check
from domain.callback.events import CallEnd

RING_S = 30.0
LONGEST_TALK_S = 7200.0
MAX_CLOCK_SKEW = timedelta(minutes=5)
"""An end that the switch dates earlier than this before the attempt belongs to another call of the same id."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call to be placed. ``id`` is a UUID, chosen before and used for no other call, ever; times are in seconds.

    ``a_sees`` and ``b_sees`` are the numbers that their phones show as the caller's.
    """

    id: str
    a_number: str
    b_number: str
    a_sees: str
    b_sees: str
    extension_id: int | None = None
    ring_a_s: float = RING_S
    ring_b_s: float = RING_S
    longest_talk_s: float = LONGEST_TALK_S


class Placed(StrEnum):
    """What became of the wish to place a call; ``unknown`` is no failure: ``find`` decides."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Progress(StrEnum):
    """How far a call that lives has come."""

    RINGING_A = "ringing_a"
    RINGING_B = "ringing_b"
    JOINED = "joined"


class Live(msgspec.Struct, frozen=True):
    """The call lives."""

    progress: Progress


class Ended(msgspec.Struct, frozen=True):
    """The call has ended at ``at``, by the switch's clock."""

    end: CallEnd
    at: datetime


class Absent(msgspec.Struct, frozen=True):
    """The switch has neither a channel nor, asked after that, a ledger row of the call."""


Found = Live | Ended | Absent


class Progressed(msgspec.Struct, frozen=True):
    """A call came further."""

    call_id: str
    progress: Progress


class CallOver(msgspec.Struct, frozen=True):
    """A call has ended."""

    call_id: str
    end: CallEnd


class LinkUp(msgspec.Struct, frozen=True):
    """The switch can be reached (again). ``started`` tells one start of the switch from another: compare for equality."""

    started: str


class LinkDown(msgspec.Struct, frozen=True):
    """The switch cannot be reached: nothing can be placed, and what happens there is not heard."""


GatewayEvent = Progressed | CallOver | LinkUp | LinkDown


class GatewayDown(Exception):
    """The switch cannot be asked just now, or its answer tells nothing."""


class CallGateway(Protocol):
    """A switch. Connects by itself, again whenever the link is lost, from ``async with`` until its end.

    Whatever it tells may be lost, doubled or late; who listens stays right with ``find`` alone.
    """

    async def place(self, call: Call) -> Placed:
        """Place a call, once for an id, ever: the caller has the attempt on record before.

        ``refused`` says that surely nothing was sent. Never raises for a lost link: that is ``unknown`` or ``refused``.
        """
        ...

    async def hang_up(self, call_id: str) -> None:
        """End the call; one that has ended or never was is no error. Raises GatewayDown."""
        ...

    async def find(self, call_ids: Sequence[str]) -> Sequence[Found]:
        """Answer what is known of each call, in their order: channels first, then the ledger. Raises GatewayDown."""
        ...

    def events(self) -> AsyncIterator[Sequence[GatewayEvent]]:
        """Yield what happened, all that came in since the last time at once. LinkUp comes first after each connect."""
        ...


class GatewayKind(Protocol):
    """A switch as a deployment configures it: connects to it, diagnoses it, and names it to child processes."""

    @property
    def name(self) -> str:
        """The kind's name. Calls are stored under it, so that they are found again when the switch moves."""
        ...

    @property
    def address(self) -> str:
        """The switch's address, for people and logs."""
        ...

    @property
    def description(self) -> str:
        """A noun phrase that says through what calls go, such as "the trunk t of the Asterisk at 10.0.0.5:5038"."""
        ...

    @property
    def rings_phones(self) -> bool:
        """Whether calls reach real phones: then they cost money, disturb people and need a pace."""
        ...

    def connect(self) -> AbstractAsyncContextManager[CallGateway]:
        """Return a connection, which is kept from ``async with`` until its end."""
        ...

    async def examine(self) -> list[Check]:
        """Check whether the switch is ready to be dialled. Changes nothing there, and rings no phone."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables with which a child process dials this switch."""
        ...
