"""The port to a telephone switch, which rings A, then B, and joins them (docs/asterisk.md, docs/contracts/task_scheduler.md)."""

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
CLOCK_SKEW_MAX = timedelta(minutes=5)
"""A ledger row dated earlier than this before its attempt is not believed: the clocks cannot differ so much."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call to place. ``id`` is a UUID, chosen before the call and never used for another one; times are in seconds.

    ``a_digits`` and ``b_digits`` are the extension behind a number: sent as DTMF after the phone has answered, if any.

    ``a_sees`` and ``b_sees`` are the caller numbers that the phones of A and B display.
    """

    id: str
    a_number: str
    b_number: str
    a_sees: str
    b_sees: str
    a_digits: str = ""
    b_digits: str = ""
    extension_id: int | None = None
    ring_a_s: float = RING_S
    ring_b_s: float = RING_S
    longest_talk_s: float = LONGEST_TALK_S


class PlaceResult(StrEnum):
    """Result of placing a call. ``unknown`` is not a failure: the call may be accepted or refused, and ``find`` shows which."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Progress(StrEnum):
    """Progress of a live call."""

    RINGING_A = "ringing_a"
    RINGING_B = "ringing_b"
    JOINED = "joined"


class Live(msgspec.Struct, frozen=True):
    """State of a live call."""

    progress: Progress


class Ended(msgspec.Struct, frozen=True):
    """State of a call that ended at ``at``, by the switch's clock."""

    end: CallEnd
    at: datetime


class Absent(msgspec.Struct, frozen=True):
    """State of a call of which the switch has no channel and, checked after that, no ledger row."""


CallState = Live | Ended | Absent


class CallProgressed(msgspec.Struct, frozen=True):
    """Event: a call made progress."""

    call_id: str
    progress: Progress


class CallOver(msgspec.Struct, frozen=True):
    """Event: a call ended."""

    call_id: str
    end: CallEnd


class LinkUp(msgspec.Struct, frozen=True):
    """Event: the switch can be reached (again). ``started`` identifies one start of the switch: compare for equality."""

    started: str


class LinkDown(msgspec.Struct, frozen=True):
    """Event: the switch cannot be reached. No call can be placed, and events there are missed."""


GatewayEvent = CallProgressed | CallOver | LinkUp | LinkDown


class GatewayUnavailable(Exception):
    """The switch cannot be queried at present, or its response is unusable."""


class CallGateway(Protocol):
    """A connection to a switch. Connects and reconnects by itself, from ``async with`` until its end.

    Events may be lost, duplicated or late; a consumer must stay correct with ``find`` alone.
    """

    async def place(self, call: Call) -> PlaceResult:
        """Place a call, once per id, ever: the caller has recorded the attempt before.

        ``refused`` guarantees that nothing was dialled. Never raises for a lost link: that is ``unknown`` or ``refused``.
        """
        ...

    async def hang_up(self, call_id: str) -> None:
        """End the call; a call that has ended or never existed is not an error. Raises GatewayUnavailable."""
        ...

    async def find(self, call_ids: Sequence[str]) -> Sequence[CallState]:
        """Return the state of each call, in the given order: channels first, then the ledger. Raises GatewayUnavailable."""
        ...

    def events(self) -> AsyncIterator[Sequence[GatewayEvent]]:
        """Yield events in batches: all that arrived since the last batch. LinkUp comes first after each connect."""
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
        """Return whether calls reach real phones: then they cost money, disturb people and need a pace."""
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
