"""What can happen to a callback. Names and tags are for ever; a changed shape gets a new tag and an upcaster."""

from datetime import datetime
from enum import StrEnum

import msgspec

from domain.model import Fact, Personal


class Leg(StrEnum):
    """The two calls of a callback: A is rung first."""

    A = "a"
    B = "b"


class Outcome(StrEnum):
    """How a call ended (telephony, Outcomes)."""

    SUCCESS = "success"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    INVALID_NUMBER = "invalid_number"
    CONGESTION = "congestion"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    LOST = "lost"


class FinishResult(StrEnum):
    """What became of a callback in the end."""

    SUCCESS = "success"
    FAILED = "failed"


class CallEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a call ended, with what the switch said of it, so that a mapping may be corrected later.

    ``leg`` is the one that it failed on; ``sip`` the status line that decided ("SIP 486 Busy Here"), ``cause`` the
    Q.850 cause, ``dial_status`` the switch's own word, ``seconds`` the time for which A and B were joined.
    """

    outcome: Outcome
    leg: Leg | None = None
    sip: str | None = None
    cause: int | None = None
    dial_status: str | None = None
    seconds: float | None = None


class CallbackDetails(Personal, frozen=True, kw_only=True):
    """Who is called: A first, then B, each in E.164 or an extension of 2 to 8 digits."""

    a_number: str
    b_number: str
    name: str | None = None


class CallbackScheduled(Fact, frozen=True, kw_only=True, tag="callback.scheduled.v1"):
    """Somebody is to be called back, at ``start_time`` or later; ``try_again_pause`` is in seconds.

    ``task_id`` names the task that the callback carries out, if any.
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
    """The call ``call_id`` is to be dialled: on record before the phone rings. Attempts count from 1."""

    attempt: int
    call_id: str


class AttemptSucceeded(Fact, frozen=True, kw_only=True, tag="callback.attempt_succeeded.v1"):
    """A and B are joined; the call goes on."""

    attempt: int


class AttemptFailed(Fact, frozen=True, kw_only=True, tag="callback.attempt_failed.v1"):
    """The call ended without joining A and B."""

    attempt: int
    end: CallEnd


class CallEnded(Fact, frozen=True, kw_only=True, tag="callback.call_ended.v1"):
    """A call ended whose outcome changes nothing any more: A and B were joined, or the callback was cancelled."""

    attempt: int
    end: CallEnd


class CallbackDelayed(Fact, frozen=True, kw_only=True, tag="callback.delayed.v1"):
    """The callback waits for its next attempt, due at ``due_at``; ``is_free``: the failed one does not count as a try."""

    due_at: datetime
    is_free: bool | None = None


class CallbackFinished(Fact, frozen=True, kw_only=True, tag="callback.finished.v1"):
    """The callback succeeded, or its tries are spent; ``comment`` begins with the contract's word for the last outcome."""

    result: FinishResult
    comment: str


class CallbackCancelled(Fact, frozen=True, kw_only=True, tag="callback.cancelled.v1"):
    """The callback is no longer wanted; a call that runs is hung up."""


class CallbackRemoved(Fact, frozen=True, kw_only=True, tag="callback.removed.v1"):
    """A finished callback was taken off the lists; a call that still runs is hung up."""


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
