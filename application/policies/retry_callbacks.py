"""Whenever an attempt failed, the callback is delayed or finished.

Decisions only: infrastructure/policies/retry_callbacks.py reads and writes the rows.
"""

from collections.abc import Sequence

import msgspec

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
    CallEnded,
)
from domain.callback.retry_policy import RetryPolicy
from domain.model import Recorded

Handled = AttemptFailed
Ignored = (
    CallbackScheduled
    | AttemptStarted
    | AttemptSucceeded
    | CallEnded
    | CallbackDelayed
    | CallbackFinished
    | CallbackCancelled
    | CallbackRemoved
)


class QueueRetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a queue for failed attempts.

    ``policy`` is the queue's own, else its organisation's default, else the rule of
    ``docs/contracts/task_scheduler.md``.
    """

    policy: RetryPolicy = RetryPolicy()
    is_deleted: bool = False


def retry_or_finish(events: Sequence[Recorded[CallbackFact]], queue: QueueRetrySettings) -> list[CallbackFact]:
    """Return the decision about the callback's failed attempt, if its last one failed.

    In a deleted queue there is no further attempt: the callback is cancelled.
    """
    callback = replay(events)
    facts = callback.decide_retry(queue.policy) if callback else []
    if queue.is_deleted and any(isinstance(fact, CallbackDelayed) for fact in facts):
        return [CallbackCancelled()]
    return facts
