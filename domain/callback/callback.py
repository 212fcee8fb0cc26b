"""The Callback aggregate: state, decisions, and the effect of each fact."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import assert_never

import msgspec
from msgspec.structs import replace

from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackDetails,
    CallbackFact,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    CallEnd,
    CallEnded,
    FinishResult,
    Leg,
    Outcome,
)
from domain.callback.outcomes import comment_of, refusal_comment
from domain.callback.retry_policy import Failure, RetryPolicy, next_attempt
from domain.errors import AlreadyDeleted, NotWaiting
from domain.model import Recorded, fold
from domain.streams import aggregate_number


class Status(StrEnum):
    """The status of a callback; the first four are the contract's words."""

    SCHEDULED = "scheduled"
    EXECUTED = "executed"
    DELAYED = "delayed"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a callback after its facts up to ``version``. Times come from the envelopes of the facts.

    ``attempt`` counts the started attempts, ``forgiven`` those that do not count as tries, ``undialled`` those of them that
    were never dialled; ``call_id`` is the call of the last attempt. ``call_runs`` is true from the start of an attempt until its call has ended. ``failed_at`` is set from a
    failed attempt until the decision to retry or to finish.
    """

    id: int
    organization_id: int
    version: int
    scheduled: CallbackScheduled
    created_at: datetime
    updated_at: datetime
    due_at: datetime | None
    status: Status = Status.SCHEDULED
    attempt: int = 0
    forgiven: int = 0
    undialled: int = 0
    call_id: str | None = None
    call_runs: bool = False
    failed_at: datetime | None = None
    last_end: CallEnd | None = None
    finish_result: FinishResult | None = None
    finish_comment: str | None = None
    is_deleted: bool = False

    @property
    def details(self) -> CallbackDetails:
        """The numbers to call."""
        return self.scheduled.personal

    @property
    def waits(self) -> bool:
        """Return whether the callback waits for its next attempt."""
        return self.status in {Status.SCHEDULED, Status.DELAYED}

    def start_attempt(self, call_id: str) -> list[CallbackFact]:
        """Start an attempt. Raises NotWaiting if an attempt runs, or if the callback is finished or cancelled."""
        if not self.waits:
            raise NotWaiting(self.status)
        return [AttemptStarted(attempt=self.attempt + 1, call_id=call_id)]

    def refuse(self, leg: Leg, rule: str) -> list[CallbackFact]:
        """Finish the callback without an attempt, because of a rule about the number on that leg. Raises NotWaiting."""
        if not self.waits:
            raise NotWaiting(self.status)
        return [CallbackFinished(result=FinishResult.FAILED, comment=refusal_comment(leg, rule))]

    def call_joined(self, attempt: int) -> list[CallbackFact]:
        """Record that A and B are joined. Returns no facts for another attempt, or if it is already recorded."""
        if not self._is_under_way(attempt):
            return []
        comment = comment_of(CallEnd(outcome=Outcome.SUCCESS))
        return [
            AttemptSucceeded(attempt=attempt),
            CallbackFinished(result=FinishResult.SUCCESS, comment=comment),
        ]

    def call_ended(self, attempt: int, end: CallEnd) -> list[CallbackFact]:
        """Record the end of an attempt's call. Returns no facts for another attempt, or if it is already recorded.

        If the end is the first report of a success, its joining is recorded too.
        """
        if attempt != self.attempt or not self.call_runs:
            return []
        if not self._is_under_way(attempt):
            return [CallEnded(attempt=attempt, end=end)]
        if end.outcome is Outcome.SUCCESS:
            return [*self.call_joined(attempt), CallEnded(attempt=attempt, end=end)]
        return [AttemptFailed(attempt=attempt, end=end)]

    def decide_retry(self, policy: RetryPolicy) -> list[CallbackFact]:
        """Decide on a failed attempt: retry after a pause, which starts at the attempt's end, or finish.

        Returns no facts if no failed attempt waits for a decision. The policy's jitter is derived from the id of the call,
        so a repeated decision has the same result.
        """
        if self.failed_at is None or self.last_end is None or self.call_id is None:
            return []
        failure = Failure(
            outcome=self.last_end.outcome,
            tries_left=self.scheduled.try_count - self.attempt + self.forgiven,
            forgiven=self.forgiven - self.undialled,
            pause=self.scheduled.try_again_pause,
            chance=_chance(self.call_id),
        )
        if retry := next_attempt(failure, policy):
            due_at = self.failed_at + timedelta(seconds=retry.pause)
            return [CallbackDelayed(due_at=due_at, is_free=retry.is_free or None)]
        return [CallbackFinished(result=FinishResult.FAILED, comment=comment_of(self.last_end))]

    def delete(self) -> list[CallbackFact]:
        """Cancel the callback; if it is finished, remove it from the lists. Raises AlreadyDeleted."""
        if self.is_deleted:
            raise AlreadyDeleted("callback")
        return [CallbackRemoved() if self.status is Status.FINISHED else CallbackCancelled()]

    def _is_under_way(self, attempt: int) -> bool:
        """Return whether this is the current attempt and its outcome is not known yet."""
        return attempt == self.attempt and self.status is Status.EXECUTED and self.call_runs


def evolve(callback: Callback | None, event: Recorded[CallbackFact]) -> Callback:
    """Return the callback after one more recorded fact; the first fact creates it."""
    fact = event.fact
    if isinstance(fact, CallbackScheduled):
        return _scheduled(fact, event)
    if callback is None:
        msg = f"{event.stream} begins with {type(fact).__name__}"
        raise ValueError(msg)
    callback = replace(callback, version=event.version, updated_at=event.recorded_at)
    match fact:
        case AttemptStarted(attempt=attempt, call_id=call_id):
            return replace(
                callback, status=Status.EXECUTED, attempt=attempt, call_id=call_id, call_runs=True, due_at=None
            )
        case AttemptSucceeded():
            return callback
        case AttemptFailed(end=end):
            return replace(callback, call_runs=False, failed_at=event.recorded_at, last_end=end)
        case CallEnded(end=end):
            return replace(callback, call_runs=False, last_end=end)
        case CallbackDelayed(due_at=due_at, is_free=is_free):
            last = callback.last_end
            undialled = callback.undialled + bool(last and last.outcome is Outcome.NOT_DIALLED)
            forgiven = callback.forgiven + bool(is_free)
            return replace(
                callback, status=Status.DELAYED, due_at=due_at, failed_at=None, forgiven=forgiven, undialled=undialled
            )
        case CallbackFinished(result=result, comment=comment):
            return replace(
                callback,
                status=Status.FINISHED,
                finish_result=result,
                finish_comment=comment,
                due_at=None,
                failed_at=None,
            )
        case CallbackCancelled():
            return replace(callback, status=Status.CANCELLED, is_deleted=True, due_at=None, failed_at=None)
        case CallbackRemoved():
            return replace(callback, is_deleted=True)
        case _:
            assert_never(fact)


def replay(events: Iterable[Recorded[CallbackFact]]) -> Callback | None:
    """Return the callback after all events of its stream, oldest first; None for an empty stream."""
    return fold(evolve, events)


def _chance(call_id: str) -> float:
    """Return a pseudo-random number from 0 to 1, the same for the same call."""
    return int.from_bytes(blake2b(call_id.encode(), digest_size=4).digest()) / 0xFFFFFFFF


def _scheduled(fact: CallbackScheduled, event: Recorded[CallbackFact]) -> Callback:
    return Callback(
        id=aggregate_number(event.stream),
        organization_id=event.organization_id or 0,
        version=event.version,
        scheduled=fact,
        created_at=event.recorded_at,
        updated_at=event.recorded_at,
        due_at=fact.start_time,
    )
