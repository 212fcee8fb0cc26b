"""Whenever a task needs a callback, one is scheduled; then each follows the other until both have ended.

Decisions only: infrastructure/policies/carry_out_callback_tasks.py reads and writes the rows.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import assert_never

import msgspec

from application.policies.decision import Decide
from domain.callback.callback import Status as CallbackStatus
from domain.callback.callback import replay as replay_callback
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
    CallEnded,
    FinishResult,
)
from domain.limits import NAME_MAX
from domain.model import Recorded
from domain.organization.events import Settings
from domain.task.events import (
    AppealLinked,
    TaskCancelled,
    TaskCompleted,
    TaskFact,
    TaskFailed,
    TaskFiled,
    TaskPutBack,
    TaskReprocessed,
    TaskStarted,
    TaskType,
)
from domain.task.task import Status, Task
from domain.task.task import replay as replay_task

HandledCallbackFact = AttemptStarted | AttemptSucceeded | CallbackFinished | CallbackCancelled
HandledTaskFact = TaskFiled | TaskReprocessed | TaskCancelled | TaskCompleted | TaskFailed
Handled = HandledTaskFact | HandledCallbackFact
Ignored = (
    TaskStarted
    | TaskPutBack
    | AppealLinked
    | CallbackScheduled
    | AttemptFailed
    | CallEnded
    | CallbackDelayed
    | CallbackRemoved
)

_CALLBACK_DELETED = "CANCEL the callback was deleted"


class Prerequisites(msgspec.Struct, frozen=True, kw_only=True):
    """Prerequisites that an organisation provides for the callback of a task.

    ``a_number`` is the number of the operator's line; ``has_queue`` is whether the queue that the settings name exists.
    """

    settings: Settings
    a_number: str | None
    has_queue: bool


def needs_callback(task: Task | None, attempt: int) -> bool:
    """Return whether the task, in its present state, still needs a callback for this attempt."""
    return (
        task is not None
        and task.task_type is TaskType.CALLBACK
        and task.details.caller_phone is not None
        and task.attempt == attempt
        and task.status in {Status.PENDING, Status.IN_PROGRESS}
    )


def missing_prerequisite(task: Task, prerequisites: Prerequisites) -> str | None:
    """Return why no callback can be scheduled for the task; None when one can."""
    if not prerequisites.has_queue:
        return f"No callback: there is no queue {prerequisites.settings.callback_queue}"
    if prerequisites.a_number is None:
        return f"No callback: operator {task.operator_number} has no number"
    return None


def callback_for(task: Task, prerequisites: Prerequisites, start_time: datetime) -> CallbackScheduled:
    """Return the callback that carries out the task: it rings the operator (A), then the caller (B).

    No prerequisite may be missing.
    """
    settings, details = prerequisites.settings, task.details
    return CallbackScheduled(
        queue_id=settings.callback_queue or 0,
        try_count=settings.callback_tries,
        try_again_pause=settings.callback_pause,
        start_time=start_time,
        personal=CallbackDetails(
            subject=details.subject,
            a_number=prerequisites.a_number or "",
            b_number=details.caller_phone or "",
            name=details.title[:NAME_MAX],
        ),
        task_id=task.id,
    )


def schedule_callback(fact: CallbackScheduled) -> Decide:
    """Return the decision to schedule the callback, in a stream of its own."""
    return lambda events: [] if events else [fact]


def fail_task(error_message: str) -> Decide:
    """Return the decision that a task failed, with this error message."""
    return partial(_change_status, status=Status.FAILED, error_message=error_message)


def follow_callback(fact: HandledCallbackFact) -> Decide | None:
    """Return the decision about a task that follows from a fact of its callback; None when nothing follows."""
    match fact:
        case AttemptStarted():
            return _start_task
        case AttemptSucceeded():
            return partial(_change_status, status=Status.COMPLETED)
        case CallbackFinished(result=result, comment=comment):
            return fail_task(comment) if result is FinishResult.FAILED else None
        case CallbackCancelled():
            return fail_task(_CALLBACK_DELETED)
        case _:
            assert_never(fact)


def cancel_callback(events: Sequence[Recorded[CallbackFact]]) -> Sequence[CallbackFact]:
    """Return the facts that cancel the callback of a task that ended in another way; none if the callback has ended too."""
    callback = replay_callback(events)
    if callback is None or callback.is_deleted or callback.status is CallbackStatus.FINISHED:
        return []
    return callback.delete()


def _start_task(events: Sequence[Recorded[TaskFact]]) -> Sequence[TaskFact]:
    task = replay_task(events)
    return task.change_status(Status.IN_PROGRESS) if task and task.status is Status.PENDING else []


def _change_status(
    events: Sequence[Recorded[TaskFact]], *, status: Status, error_message: str | None = None
) -> Sequence[TaskFact]:
    task = replay_task(events)
    return task.change_status(status, error_message=error_message) if task else []
