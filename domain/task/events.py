"""What can happen to a task. Names and tags are for ever; a changed shape gets a new tag and an upcaster."""

from datetime import datetime
from enum import StrEnum

from domain.model import Fact, Personal


class TaskType(StrEnum):
    """What kind of work the task is."""

    CALLBACK = "callback"
    APPEAL = "appeal"
    COMPLAINT = "complaint"
    CONSULTATION = "consultation"
    ORDER = "order"
    OTHER = "other"


class Priority(StrEnum):
    """How pressing the task is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class CallDetails(Personal, frozen=True, kw_only=True):
    """What the call told: of the caller, in the caller's or the operator's own words."""

    title: str
    description: str | None = None
    caller_phone: str | None = None
    caller_name: str | None = None
    recording_url: str | None = None
    call_transcription: str | None = None
    call_summary: str | None = None
    call_response_summary: str | None = None


class Failure(Personal, frozen=True, kw_only=True):
    """Why a task failed, in somebody's own words."""

    error_message: str | None = None


class TaskFiled(Fact, frozen=True, kw_only=True, tag="task.filed.v1"):
    """An operator or a member filed the task after a call, and it was assigned."""

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
    """Somebody took up the work."""


class TaskPutBack(Fact, frozen=True, kw_only=True, tag="task.put_back.v1"):
    """The work was laid down again; the task waits."""


class TaskCompleted(Fact, frozen=True, kw_only=True, tag="task.completed.v1"):
    """The work is done."""


class TaskFailed(Fact, frozen=True, kw_only=True, tag="task.failed.v1"):
    """The work could not be done."""

    personal: Failure


class TaskCancelled(Fact, frozen=True, kw_only=True, tag="task.cancelled.v1"):
    """The work is no longer wanted."""


class TaskReprocessed(Fact, frozen=True, kw_only=True, tag="task.reprocessed.v1"):
    """A failed task was put back to be tried again; ``attempt`` counts the tries from 1."""

    attempt: int


class AppealLinked(Fact, frozen=True, kw_only=True, tag="task.appeal_linked.v1"):
    """The task was linked to an appeal that another system keeps; it replaces the one before."""

    appeal_id: str


TaskFact = (
    TaskFiled | TaskStarted | TaskPutBack | TaskCompleted | TaskFailed | TaskCancelled | TaskReprocessed | AppealLinked
)
