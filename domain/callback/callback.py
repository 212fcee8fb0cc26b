"""The Callback aggregate: its state, its decisions, and how facts change it."""

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
    Outcome,
)
from domain.callback.outcomes import comment_of
from domain.callback.retry_policy import Failure, RetryPolicy, after
from domain.errors import AlreadyDeleted, NotWaiting
from domain.model import Recorded
from domain.streams import aggregate_number


class Status(StrEnum):
    """Where the callback stands; the first four are the contract's words."""

    SCHEDULED = "scheduled"
    EXECUTED = "executed"
    DELAYED = "delayed"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback as its facts up to ``version`` made it. Times come from the envelopes of the facts.

    ``attempt`` counts the attempts that were started, ``forgiven`` those of them that do not count against the tries;
    ``call_id`` is the last one's. ``call_runs`` from the start of an attempt until its call has ended. ``failed_at`` is set between a failed attempt and the decision what to do about it.
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
    call_id: str | None = None
    call_runs: bool = False
    failed_at: datetime | None = None
    last_end: CallEnd | None = None
    finish_result: FinishResult | None = None
    finish_comment: str | None = None
    is_deleted: bool = False

    @property
    def details(self) -> CallbackDetails:
        """Who is called."""
        return self.scheduled.personal

    @property
    def waits(self) -> bool:
        """Whether an attempt may be started when it is due."""
        return self.status in {Status.SCHEDULED, Status.DELAYED}

    def start_attempt(self, call_id: str) -> list[CallbackFact]:
        """Decide to dial. Raises NotWaiting when an attempt runs, or none is wanted any more."""
        if not self.waits:
            raise NotWaiting(self.status)
        return [AttemptStarted(attempt=self.attempt + 1, call_id=call_id)]

    def call_joined(self, attempt: int) -> list[CallbackFact]:
        """Decide what it means that A and B are joined; of another attempt, or heard before, nothing."""
        if not self._is_under_way(attempt):
            return []
        comment = comment_of(CallEnd(outcome=Outcome.SUCCESS))
        return [
            AttemptSucceeded(attempt=attempt),
            CallbackFinished(result=FinishResult.SUCCESS, comment=comment),
        ]

    def call_ended(self, attempt: int, end: CallEnd) -> list[CallbackFact]:
        """Decide what it means that the call of an attempt has ended; of another attempt, or heard before, nothing.

        A success whose joining was never heard of is told here.
        """
        if attempt != self.attempt or not self.call_runs:
            return []
        if not self._is_under_way(attempt):
            return [CallEnded(attempt=attempt, end=end)]
        if end.outcome is Outcome.SUCCESS:
            return [*self.call_joined(attempt), CallEnded(attempt=attempt, end=end)]
        return [AttemptFailed(attempt=attempt, end=end)]

    def decide_retry(self, policy: RetryPolicy) -> list[CallbackFact]:
        """Decide about a failed attempt: again after a pause, which counts from its end, or no more.

        Nothing to decide is nothing. A policy's jitter is drawn from the id of the call, so that who decides again
        decides the same.
        """
        if self.failed_at is None or self.last_end is None or self.call_id is None:
            return []
        failure = Failure(
            outcome=self.last_end.outcome,
            tries_left=self.scheduled.try_count - self.attempt + self.forgiven,
            forgiven=self.forgiven,
            pause=self.scheduled.try_again_pause,
            chance=_chance(self.call_id),
        )
        if again := after(failure, policy):
            due_at = self.failed_at + timedelta(seconds=again.pause)
            return [CallbackDelayed(due_at=due_at, is_free=again.is_free or None)]
        return [CallbackFinished(result=FinishResult.FAILED, comment=comment_of(self.last_end))]

    def delete(self) -> list[CallbackFact]:
        """Decide that the callback is no longer wanted, or, once it is finished, no longer shown. Raises AlreadyDeleted."""
        if self.is_deleted:
            raise AlreadyDeleted("callback")
        return [CallbackRemoved() if self.status is Status.FINISHED else CallbackCancelled()]

    def _is_under_way(self, attempt: int) -> bool:
        """Whether the attempt was started and nothing is known of its outcome."""
        return attempt == self.attempt and self.status is Status.EXECUTED and self.call_runs


def evolve(callback: Callback | None, event: Recorded[CallbackFact]) -> Callback:
    """Fold one recorded fact into the callback; the first one makes it."""
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
            forgiven = callback.forgiven + bool(is_free)
            return replace(callback, status=Status.DELAYED, due_at=due_at, failed_at=None, forgiven=forgiven)
        case CallbackFinished(result=result, comment=comment):
            return replace(
                callback, status=Status.FINISHED, finish_result=result, finish_comment=comment, failed_at=None
            )
        case CallbackCancelled():
            return replace(callback, status=Status.CANCELLED, is_deleted=True, due_at=None, failed_at=None)
        case CallbackRemoved():
            return replace(callback, is_deleted=True)
        case _:
            assert_never(fact)


def replay(events: Iterable[Recorded[CallbackFact]]) -> Callback | None:
    """Fold a stream, oldest first, into the callback; an empty one is None."""
    callback: Callback | None = None
    for event in events:
        callback = evolve(callback, event)
    return callback


def _chance(call_id: str) -> float:
    """Answer a number from 0 to 1 that looks drawn, and is the same for the same call."""
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
