"""What contract 1 takes and answers: the bodies of ``/api/tasks``."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from application.queries.task_list import TaskRow
from application.tasks import Changed
from domain.limits import ID_MAX, TITLE_MAX
from domain.model import Fact, Recorded, tag_of
from domain.task.events import Priority, TaskType
from domain.task.task import Status
from interfaces.api.web.field_types import (
    NO_NUL,
    Id,
    TimeText,
    Phone,
    ShortText,
    CommentText,
    LongText,
    TranscriptionText,
    Title,
    RecordingUrl,
)
from interfaces.api.web.read_your_writes import PositionQuery

MASK = "***"
OPERATOR_ID = "op_0123456789abcdefABCDEF"


class NewTaskBody(msgspec.Struct, frozen=True, kw_only=True):
    """A task to file. Unknown keys are ignored."""

    operator_id: Annotated[
        Id, Meta(description="The operator's key, shown when the operator was added.", examples=[OPERATOR_ID])
    ]
    title: Annotated[Title, Meta(description=f"1 to {TITLE_MAX} characters, surrounding white space not counted.")]
    task_type: TaskType = TaskType.OTHER
    priority: Priority = Priority.NORMAL
    description: LongText | None = None
    caller_phone: (
        Annotated[Phone, Meta(description="Kept as E.164; a national one is read as of the organisation's region.")]
        | None
    ) = None
    caller_name: ShortText | None = None
    call_id: Annotated[Id, Meta(examples=["A-4711"])] | None = None
    recording_url: RecordingUrl | None = None
    call_datetime: Annotated[datetime, Meta(description="Without a zone: UTC.")] | None = None
    call_transcription: TranscriptionText | None = None
    call_summary: LongText | None = None
    call_response_summary: LongText | None = None
    due_date: Annotated[datetime, Meta(description="Without a zone: UTC.")] | None = None


class TaskStatusBody(msgspec.Struct, frozen=True, kw_only=True):
    """The status that a task shall have; ``error_message`` goes with ``failed`` only."""

    status: Status
    reason: CommentText | None = None
    error_message: LongText | None = None


class AppealBody(msgspec.Struct, frozen=True, kw_only=True):
    """The appeal that a task belongs to, by its id in the system that keeps it."""

    appeal_id: Annotated[Id, Meta(examples=["2026-118"])]


class TaskListQuery(PositionQuery, frozen=True, kw_only=True):
    """What a list of tasks is asked for."""

    status: Status | None = None
    task_type: TaskType | None = None
    priority: Priority | None = None
    search: (
        Annotated[str, Meta(max_length=TITLE_MAX, pattern=NO_NUL, description="Part of the title, in either case.")]
        | None
    ) = None
    include_cancelled: Annotated[bool, Meta(description="Cancelled tasks too, when no status is asked for.")] = False
    assigned_user_id: Annotated[str, Meta(max_length=ID_MAX, pattern=NO_NUL)] | None = None
    caller_phone: Phone | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    per_page: Annotated[int, Meta(ge=1, le=100)] = 20


class TaskQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which state of a task is asked for; the present one without either."""

    version: Annotated[int, Meta(description="As it was at that version.")] | None = None
    as_of: Annotated[TimeText, Meta(description="As it was at that time; without a zone: UTC.")] | None = None


class TaskResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A task. Every key is always there; what is not set is null."""

    id: str
    organization_id: str
    assigned_user_id: str | None
    created_by_user_id: str | None
    task_type: TaskType
    status: Status
    priority: Priority
    title: str
    description: str | None
    caller_phone: str | None
    caller_name: str | None
    call_id: str | None
    recording_url: str | None
    call_datetime: datetime | None
    call_transcription: str | None
    call_summary: str | None
    call_response_summary: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    due_date: datetime | None
    completed_at: datetime | None
    appeal_id: str | None
    assigned_user_name: str | None
    version: int
    attempt: int


class TaskPageResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list, counted from 1; ``pages`` is how many there are."""

    items: list[TaskResponse]
    total: int
    page: int
    per_page: int
    pages: int


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: ``data`` is the fact, the rest its envelope."""

    version: int
    position: int
    type: str
    recorded_at: datetime
    actor: str | None
    reason: str | None
    data: dict[str, Any]


class HistoryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All that happened to a task or a callback, oldest first."""

    items: list[HistoryItem]


def task_response(changed: Changed) -> TaskResponse:
    """Answer a task as it stands in its stream."""
    task, details = changed.task, changed.task.details
    return TaskResponse(
        id=task.id,
        organization_id=str(task.organization_id),
        assigned_user_id=task.assigned_user_id,
        created_by_user_id=task.created_by_user_id,
        task_type=task.task_type,
        status=task.status,
        priority=task.priority,
        title=details.title,
        description=details.description,
        caller_phone=details.caller_phone,
        caller_name=details.caller_name,
        call_id=task.call_id,
        recording_url=details.recording_url,
        call_datetime=task.call_datetime,
        call_transcription=details.call_transcription,
        call_summary=details.call_summary,
        call_response_summary=details.call_response_summary,
        error_message=task.error_message,
        created_at=task.created_at,
        updated_at=task.updated_at,
        due_date=task.due_date,
        completed_at=task.completed_at,
        appeal_id=task.appeal_id,
        assigned_user_name=changed.member_name,
        version=task.version,
        attempt=task.attempt,
    )


def task_row_response(row: TaskRow) -> TaskResponse:
    """Answer a task as a list has it."""
    values = msgspec.structs.asdict(row)
    del values["operator_number"]
    values["organization_id"] = str(row.organization_id)
    return TaskResponse(**values)


def mask_personal(answer: TaskResponse) -> TaskResponse:
    """Answer the task without what tells of a person; of a phone number the last four digits stay (design.md §8)."""
    return replace(
        answer,
        title=MASK,
        description=_masked(answer.description),
        caller_phone=answer.caller_phone and MASK + answer.caller_phone[-4:],
        caller_name=_masked(answer.caller_name),
        recording_url=_masked(answer.recording_url),
        call_transcription=_masked(answer.call_transcription),
        call_summary=_masked(answer.call_summary),
        call_response_summary=_masked(answer.call_response_summary),
        error_message=_masked(answer.error_message),
        assigned_user_name=_masked(answer.assigned_user_name),
    )


def history_response(events: Sequence[Recorded[Fact]]) -> HistoryResponse:
    """Answer the history that the events tell."""
    items: list[HistoryItem] = []
    for event in events:
        data = msgspec.to_builtins(event.fact)
        del data["type"]
        items.append(
            HistoryItem(
                version=event.version,
                position=event.position,
                type=tag_of(event.fact),
                recorded_at=event.recorded_at,
                actor=event.actor,
                reason=event.reason,
                data=data,
            )
        )
    return HistoryResponse(items=items)


def _masked(text: str | None) -> str | None:
    return None if text is None else MASK
