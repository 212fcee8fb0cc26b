"""Use case of reading a call: the facts of its attempt (docs/contracts/task_scheduler.md, ``cdr``)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

import msgspec

from application.callback_queues import CallbackQueues
from application.callers import Caller
from application.errors import CallNotFound, QueueNotFound
from application.ports.event_log import EventLog
from application.queries.call_history import CallIndex, Dialled
from domain.callback.callback import replay
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFact,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    CallEnd,
    CallEnded,
    Leg,
    Outcome,
)
from domain.model import Recorded
from domain.permissions import Permission
from domain.streams import callback_stream

Handled = AttemptStarted | AttemptSucceeded | AttemptFailed | CallEnded
Ignored = CallbackScheduled | CallbackDelayed | CallbackFinished | CallbackCancelled | CallbackRemoved


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A call. Times are those of recording; None means that it has not happened or is not known."""

    call_id: str
    organization_id: int
    callback_id: int
    attempt: int
    scheduled: CallbackScheduled
    started_at: datetime
    joined_at: datetime | None
    ended_at: datetime | None
    is_joined: bool
    end: CallEnd | None

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the attempt: a success as soon as A and B are joined, however the call ends."""
        return Outcome.SUCCESS if self.is_joined else self.end and self.end.outcome

    @property
    def seconds(self) -> float | None:
        """The seconds from the start of the call to its end, with ringing; None for a lost call, whose end is not known."""
        if self.ended_at is None or self.end is None or self.end.outcome is Outcome.LOST:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def joined_seconds(self) -> float | None:
        """Seconds for which A and B were joined; None if they were not, or while they are."""
        return self.end.seconds if self.end and self.is_joined else None

    def leg_result(self, leg: Leg) -> Outcome | None:
        """Return the outcome of a leg: None until it is known, and for B if B's phone was not called.

        Any leg that was answered is a SUCCESS, also when the other one was not.
        """
        answered = self.answered(leg)
        if self.outcome is None or answered is None or (leg is Leg.B and not self.answered(Leg.A)):
            return None
        return Outcome.SUCCESS if answered else self.outcome

    def answered(self, leg: Leg) -> bool | None:
        """Return whether the phone of that leg was answered; None if it is not known.

        A's phone was answered if B's phone rang; both were answered if A and B are joined.
        """
        if self.is_joined:
            return True
        if self.end is None or self.end.leg is None:
            return None
        if leg is Leg.B:
            return False
        return self.end.leg is Leg.B or self.end.outcome is Outcome.ABANDONED


class CallHistory:
    """The use case that reads a call from the log, so that it is always current."""

    def __init__(self, index: CallIndex, log: EventLog, queues: CallbackQueues) -> None:
        """Find the attempt of a call in ``index``, its facts in ``log``."""
        self._index = index
        self._log = log
        self._queues = queues

    async def get(self, call_id: UUID, caller: Caller) -> CallRecord:
        """Return the call of the caller's organisation. Raises CallNotFound, StorageUnavailable.

        Only auditors can read the call of a deleted callback, or of one in a deleted queue.
        """
        dialled = await self._index.find(call_id, caller.organization_id)
        if dialled is None:
            raise CallNotFound
        events = await self._log.read(callback_stream(dialled.callback_id))
        if not caller.may(Permission.AUDIT):
            await self._check_shown(events, caller.organization_id)
        return call_record(events, dialled)

    async def _check_shown(self, events: Sequence[Recorded[Any]], organization_id: int) -> None:
        callback = replay(events)
        if callback is None or callback.is_deleted:
            raise CallNotFound
        try:
            await self._queues.check(callback.scheduled.queue_id, organization_id)
        except QueueNotFound as error:
            raise CallNotFound from error


def call_record(events: Sequence[Recorded[Any]], dialled: Dialled) -> CallRecord:
    """Return the call of a started attempt, given the facts of its callback, oldest first."""
    started = joined = ended = None
    for event in events:
        fact: CallbackFact = event.fact
        if isinstance(fact, Ignored) or fact.attempt != dialled.attempt:
            continue
        match fact:
            case AttemptStarted():
                started = event
            case AttemptSucceeded():
                joined = event
            case AttemptFailed() | CallEnded():
                ended = event
            case _:
                assert_never(fact)
    if started is None:
        msg = f"{callback_stream(dialled.callback_id)} has no attempt {dialled.attempt}"
        raise ValueError(msg)
    # Recorded together with the end: the switch did not report the time of joining.
    is_join_late = joined is not None and ended is not None and joined.recorded_at == ended.recorded_at
    return CallRecord(
        call_id=started.fact.call_id,
        organization_id=started.organization_id or 0,
        callback_id=dialled.callback_id,
        attempt=dialled.attempt,
        scheduled=events[0].fact,
        started_at=started.recorded_at,
        joined_at=joined.recorded_at if joined and not is_join_late else None,
        ended_at=ended.recorded_at if ended else None,
        is_joined=joined is not None,
        end=ended.fact.end if ended else None,
    )
