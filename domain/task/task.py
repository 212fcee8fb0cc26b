"""The Task aggregate: state, decisions, and the effect of each fact."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import assert_never

import msgspec
from msgspec.structs import replace

from domain.errors import IllegalTransition, InvalidField, TooManyAttempts
from domain.limits import TASK_ATTEMPTS_MAX
from domain.model import Recorded, fold
from domain.streams import aggregate_id
from domain.task.events import (
    AppealLinked,
    CallDetails,
    Failure,
    Priority,
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


class Status(StrEnum):
    """The status of a task."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_ENDS = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: _ENDS | {Status.IN_PROGRESS},
    Status.IN_PROGRESS: _ENDS | {Status.PENDING},
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),  # back to pending only by reprocess()
    Status.CANCELLED: frozenset(),
}


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a task after its facts up to ``version``. Times come from the envelopes of the facts."""

    id: str
    organization_id: int
    version: int
    operator_number: int
    task_type: TaskType
    priority: Priority
    details: CallDetails
    created_at: datetime
    updated_at: datetime
    status: Status = Status.PENDING
    attempt: int = 1
    assigned_user_id: str | None = None
    created_by_user_id: str | None = None
    call_id: str | None = None
    call_datetime: datetime | None = None
    due_date: datetime | None = None
    appeal_id: str | None = None
    failure: Failure | None = None
    completed_at: datetime | None = None

    @property
    def error_message(self) -> str | None:
        """The reason of the failure, while the task is failed."""
        return self.failure and self.failure.error_message

    def change_status(self, new: Status, *, error_message: str | None = None) -> list[TaskFact]:
        """Change the status; the current status again records nothing.

        Raises IllegalTransition if the contract's table has no such transition (docs/contracts/tasks.md), and InvalidField
        if an error message is given for a status other than failed.
        """
        if error_message is not None and new is not Status.FAILED:
            raise InvalidField("error_message", "An error message is allowed with the status failed only")
        if new is self.status:
            return []
        if new not in TRANSITIONS[self.status]:
            raise IllegalTransition(self.status, new)
        match new:
            case Status.PENDING:
                return [TaskPutBack()]
            case Status.IN_PROGRESS:
                return [TaskStarted()]
            case Status.COMPLETED:
                return [TaskCompleted()]
            case Status.FAILED:
                return [TaskFailed(personal=Failure(subject=self.details.subject, error_message=error_message))]
            case Status.CANCELLED:
                return [TaskCancelled()]
            case _:
                assert_never(new)

    def link_appeal(self, appeal_id: str) -> list[TaskFact]:
        """Link an appeal, in any status; the linked appeal again records nothing."""
        return [] if appeal_id == self.appeal_id else [AppealLinked(appeal_id=appeal_id)]

    def reprocess(self) -> list[TaskFact]:
        """Put a failed task back to pending.

        Raises IllegalTransition in any other status, and TooManyAttempts after ``TASK_ATTEMPTS_MAX`` attempts.
        """
        if self.status is not Status.FAILED:
            raise IllegalTransition(self.status, Status.PENDING)
        if self.attempt >= TASK_ATTEMPTS_MAX:
            raise TooManyAttempts(TASK_ATTEMPTS_MAX)
        return [TaskReprocessed(attempt=self.attempt + 1)]


FORMAT = 1
"""Number of this fold in snapshots: raise it when ``evolve`` or the fields of the state change (docs/adr/0019-snapshots.md)."""


def evolve(task: Task | None, event: Recorded[TaskFact]) -> Task:
    """Return the task after one more recorded fact; the first fact creates it."""
    fact = event.fact
    if isinstance(fact, TaskFiled):
        return _filed(fact, event)
    if task is None:
        msg = f"{event.stream} begins with {type(fact).__name__}"
        raise ValueError(msg)
    task = replace(task, version=event.version, updated_at=event.recorded_at)
    match fact:
        case TaskStarted():
            return replace(task, status=Status.IN_PROGRESS)
        case TaskPutBack():
            return replace(task, status=Status.PENDING)
        case TaskCompleted():
            return replace(task, status=Status.COMPLETED, completed_at=event.recorded_at)
        case TaskFailed(personal=failure):
            return replace(task, status=Status.FAILED, failure=failure)
        case TaskCancelled():
            return replace(task, status=Status.CANCELLED)
        case TaskReprocessed(attempt=attempt):
            return replace(task, status=Status.PENDING, failure=None, attempt=attempt)
        case AppealLinked(appeal_id=appeal_id):
            return replace(task, appeal_id=appeal_id)
        case _:
            assert_never(fact)


def replay(events: Iterable[Recorded[TaskFact]]) -> Task | None:
    """Return the task after all events of its stream, oldest first; None for an empty stream."""
    return fold(evolve, events)


def _filed(fact: TaskFiled, event: Recorded[TaskFact]) -> Task:
    return Task(
        id=aggregate_id(event.stream),
        organization_id=event.organization_id or 0,
        version=event.version,
        operator_number=fact.operator_number,
        task_type=fact.task_type,
        priority=fact.priority,
        details=fact.personal,
        created_at=event.recorded_at,
        updated_at=event.recorded_at,
        assigned_user_id=fact.assigned_user_id,
        created_by_user_id=fact.created_by_user_id,
        call_id=fact.call_id,
        call_datetime=fact.call_datetime,
        due_date=fact.due_date,
    )
