"""Facts of a callback. Names and tags never change; a fact with other fields gets a new tag and an upcaster."""

from datetime import datetime
from enum import StrEnum

import msgspec

from domain.model import Fact, Personal


class Leg(StrEnum):
    """The two legs of a call: A is called first."""

    A = "a"
    B = "b"


class Outcome(StrEnum):
    """The outcome of a call (docs/asterisk.md). A call that is ``not_dialled`` was certainly never sent to the switch."""

    SUCCESS = "success"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    INVALID_NUMBER = "invalid_number"
    CONGESTION = "congestion"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    LOST = "lost"
    NOT_DIALLED = "not_dialled"


class FinishResult(StrEnum):
    """The final result of a callback."""

    SUCCESS = "success"
    FAILED = "failed"


class CallEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The end of a call, with the switch's own report, so that a mapping can be corrected later.

    ``leg`` is the leg that failed; ``sip`` is the decisive status line ("SIP 486 Busy Here"), ``cause`` the Q.850 cause,
    ``dial_status`` the switch's own word, ``seconds`` the time for which A and B were joined.
    """

    outcome: Outcome
    leg: Leg | None = None
    sip: str | None = None
    cause: int | None = None
    dial_status: str | None = None
    seconds: float | None = None


class CallbackDetails(Personal, frozen=True, kw_only=True):
    """The numbers to call: A first, then B, each in E.164 or an extension of 2 to 8 digits."""

    a_number: str
    b_number: str
    name: str | None = None


class CallbackScheduled(Fact, frozen=True, kw_only=True, tag="callback.scheduled.v1"):
    """A callback was scheduled for ``start_time`` or later; ``try_again_pause`` is in seconds.

    ``task_id`` is the task that the callback carries out, if any.
    """

    queue_id: int
    try_count: int
    try_again_pause: int
    start_time: datetime
    personal: CallbackDetails
    extension_id: int | None = None
    url_before: str | None = None
    url_before_again: str | None = None
    url_success: str | None = None
    url_after: str | None = None
    task_id: str | None = None


class AttemptStarted(Fact, frozen=True, kw_only=True, tag="callback.attempt_started.v1"):
    """The call ``call_id`` is about to be placed; recorded before a phone rings. Attempts count from 1."""

    attempt: int
    call_id: str


class AttemptSucceeded(Fact, frozen=True, kw_only=True, tag="callback.attempt_succeeded.v1"):
    """A and B are joined; the call continues."""

    attempt: int


class AttemptFailed(Fact, frozen=True, kw_only=True, tag="callback.attempt_failed.v1"):
    """The call ended without joining A and B."""

    attempt: int
    end: CallEnd


class CallEnded(Fact, frozen=True, kw_only=True, tag="callback.call_ended.v1"):
    """A call ended without an effect on the callback: A and B were joined, or the callback was cancelled."""

    attempt: int
    end: CallEnd


class CallbackDelayed(Fact, frozen=True, kw_only=True, tag="callback.delayed.v1"):
    """The next attempt is due at ``due_at``; ``is_free``: the failed attempt does not count as a try."""

    due_at: datetime
    is_free: bool | None = None


class CallbackFinished(Fact, frozen=True, kw_only=True, tag="callback.finished.v1"):
    """The callback succeeded, or no tries are left; ``comment`` begins with the contract's word for the last outcome."""

    result: FinishResult
    comment: str


class CallbackCancelled(Fact, frozen=True, kw_only=True, tag="callback.cancelled.v1"):
    """The callback was cancelled; a running call is hung up."""


class CallbackRemoved(Fact, frozen=True, kw_only=True, tag="callback.removed.v1"):
    """A finished callback was removed from the lists; a call that still runs is hung up."""


CallbackFact = (
    CallbackScheduled
    | AttemptStarted
    | AttemptSucceeded
    | AttemptFailed
    | CallEnded
    | CallbackDelayed
    | CallbackFinished
    | CallbackCancelled
    | CallbackRemoved
)
