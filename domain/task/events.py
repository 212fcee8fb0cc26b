"""Facts of a task. Names and tags never change; a fact with other fields gets a new tag and an upcaster."""

from datetime import datetime
from enum import StrEnum

from domain.model import Fact, Personal


class TaskType(StrEnum):
    """The kind of work."""

    CALLBACK = "callback"
    APPEAL = "appeal"
    COMPLAINT = "complaint"
    CONSULTATION = "consultation"
    ORDER = "order"
    OTHER = "other"


class Priority(StrEnum):
    """The priority of a task."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class CallDetails(Personal, frozen=True, kw_only=True):
    """The personal data of a call: who called, and what was said."""

    title: str
    description: str | None = None
    caller_phone: str | None = None
    caller_name: str | None = None
    recording_url: str | None = None
    call_transcription: str | None = None
    call_summary: str | None = None
    call_response_summary: str | None = None


class Failure(Personal, frozen=True, kw_only=True):
    """The reason why a task failed, as free text."""

    error_message: str | None = None


class TaskFiled(Fact, frozen=True, kw_only=True, tag="task.filed.v1"):
    """An operator or a member filed the task after a call; ``assigned_user_id`` is its member, if any."""

    operator_number: int
    task_type: TaskType
    priority: Priority
    personal: CallDetails
    assigned_user_id: str | None = None
    created_by_user_id: str | None = None
    call_id: str | None = None
    call_datetime: datetime | None = None
    due_date: datetime | None = None


class TaskStarted(Fact, frozen=True, kw_only=True, tag="task.started.v1"):
    """Work on the task has started."""


class TaskPutBack(Fact, frozen=True, kw_only=True, tag="task.put_back.v1"):
    """The task is pending again."""


class TaskCompleted(Fact, frozen=True, kw_only=True, tag="task.completed.v1"):
    """The task is completed."""


class TaskFailed(Fact, frozen=True, kw_only=True, tag="task.failed.v1"):
    """The task failed."""

    personal: Failure


class TaskCancelled(Fact, frozen=True, kw_only=True, tag="task.cancelled.v1"):
    """The task is cancelled."""


class TaskReprocessed(Fact, frozen=True, kw_only=True, tag="task.reprocessed.v1"):
    """A failed task is pending again; ``attempt`` counts the tries from 1."""

    attempt: int


class AppealLinked(Fact, frozen=True, kw_only=True, tag="task.appeal_linked.v1"):
    """The task was linked to an appeal in another system; this replaces the previous link."""

    appeal_id: str


TaskFact = (
    TaskFiled | TaskStarted | TaskPutBack | TaskCompleted | TaskFailed | TaskCancelled | TaskReprocessed | AppealLinked
)
