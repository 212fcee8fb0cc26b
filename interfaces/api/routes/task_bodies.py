"""Bodies and responses of ``/api/tasks`` (``docs/contracts/tasks.md``)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from application.cooperative import yielding
from application.ports.event_log import Page
from application.queries.task_list import TaskRow
from application.tasks import FileTask, TaskResult
from domain.limits import ID_MAX, TITLE_MAX
from domain.model import tag_of
from domain.task.events import CallDetails, Priority, TaskType
from domain.task.task import Status
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.field_types import (
    NO_NUL,
    TASK_ID,
    CommentText,
    Id,
    LongText,
    Phone,
    RecordingUrl,
    ShortText,
    Title,
    TranscriptionText,
)
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.masking import OwnId, PhoneNumber
from interfaces.api.web.paging import HistoryQuery, next_link
from interfaces.api.web.read_your_writes import PositionQuery
from interfaces.api.web.times import RequestTime, utc_of

OPERATOR_ID = "op_AB0123456789abcdefABCDEF"


class NewTaskBody(msgspec.Struct, frozen=True, kw_only=True):
    """A task to file. Unknown keys are ignored."""

    operator_id: Annotated[
        Id,
        Meta(description="The operator's key. It is shown once, when the operator is added.", examples=[OPERATOR_ID]),
    ]
    title: Annotated[Title, Meta(description=f"1 to {TITLE_MAX} characters, surrounding white space not counted.")]
    task_type: TaskType = TaskType.OTHER
    priority: Priority = Priority.NORMAL
    description: LongText | None = None
    caller_phone: (
        Annotated[Phone, Meta(description="Stored as E.164. A national number belongs to the organisation's region.")]
        | None
    ) = None
    caller_name: ShortText | None = None
    call_id: Annotated[Id, Meta(examples=["A-4711"])] | None = None
    recording_url: RecordingUrl | None = None
    call_datetime: Annotated[RequestTime, Meta(description="A time without a zone is UTC.")] | None = None
    call_transcription: TranscriptionText | None = None
    call_summary: LongText | None = None
    call_response_summary: LongText | None = None
    due_date: Annotated[RequestTime, Meta(description="A time without a zone is UTC.")] | None = None


class TaskStatusBody(msgspec.Struct, frozen=True, kw_only=True):
    """The new status of a task; ``error_message`` is accepted only with ``failed``."""

    status: Status
    reason: CommentText | None = None
    error_message: LongText | None = None


class AppealBody(msgspec.Struct, frozen=True, kw_only=True):
    """The appeal that a task belongs to, by its id in the external system."""

    appeal_id: Annotated[Id, Meta(examples=["2026-118"])]


class TaskListQuery(PositionQuery, frozen=True, kw_only=True):
    """The page of the list of tasks, and its filters."""

    status: Status | None = None
    task_type: TaskType | None = None
    priority: Priority | None = None
    search: (
        Annotated[
            str,
            Meta(
                max_length=TITLE_MAX, pattern=NO_NUL, description="Text that the title contains, ignoring case; ё is е."
            ),
        ]
        | None
    ) = None
    include_cancelled: Annotated[bool, Meta(description="Include cancelled tasks if `status` is absent.")] = False
    assigned_user_id: Annotated[str, Meta(max_length=ID_MAX, pattern=NO_NUL)] | None = None
    caller_phone: Phone | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000, description="Page number, from 1; not together with `after`.")] = 1
    after: (
        Annotated[str, Meta(pattern=TASK_ID, description="Only tasks that the list shows after the task with this id.")]
        | None
    ) = None
    per_page: Annotated[int, Meta(ge=1, le=100, description="Tasks of a page.")] = 20


class TaskQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a task at a version or at a time; without either, the current state."""

    version: Annotated[int, Meta(description="The state at that version.")] | None = None
    as_of: Annotated[RequestTime, Meta(description="The state at that time; a time without a zone is UTC.")] | None = (
        None
    )


class TaskResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A task. Every key is present; null means not set."""

    id: OwnId
    organization_id: OwnId
    assigned_user_id: OwnId | None
    created_by_user_id: OwnId | None
    task_type: TaskType
    status: Status
    priority: Priority
    title: str
    description: str | None
    caller_phone: PhoneNumber | None
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
    """A page of the list of tasks. ``page`` starts at 1; ``pages`` is the number of pages."""

    items: list[TaskResponse]
    total: int
    page: int
    per_page: int
    pages: int


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """An event: ``data`` is the fact, the other members are its envelope."""

    version: int
    position: int
    type: str
    recorded_at: datetime
    actor: str | None
    reason: str | None
    data: dict[str, Any]


class HistoryResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Events of a task or a callback, oldest first. ``next`` is the ``after`` of the next page; absent on the last page."""

    items: list[HistoryItem]
    next: int | msgspec.UnsetType = msgspec.UNSET


def file_task_command(body: NewTaskBody) -> FileTask:
    """Return the command to file the task that the body describes."""
    return FileTask(
        operator_key=body.operator_id,
        details=CallDetails(
            subject="",  # the use case sets it
            title=body.title,
            description=body.description,
            caller_phone=body.caller_phone,
            caller_name=body.caller_name,
            recording_url=body.recording_url,
            call_transcription=body.call_transcription,
            call_summary=body.call_summary,
            call_response_summary=body.call_response_summary,
        ),
        task_type=body.task_type,
        priority=body.priority,
        call_id=body.call_id,
        call_datetime=utc_of(body.call_datetime),
        due_date=utc_of(body.due_date),
    )


def task_response(changed: TaskResult) -> TaskResponse:
    """Return the response of a task that was read from its stream."""
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
    """Return the response of a row of the list."""
    values = msgspec.structs.asdict(row)
    del values["operator_number"]
    values["organization_id"] = str(row.organization_id)
    return TaskResponse(**values)


async def _history_response(page: Page, owner: int) -> HistoryResponse:
    """Return the response of a page of a stream's events."""
    items: list[HistoryItem] = []
    async for event in yielding(page.events, owner):
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
    return HistoryResponse(items=items, next=items[-1].version if page.has_next else msgspec.UNSET)


async def history_page(request: AnyRequest, page: Page, query: HistoryQuery) -> JsonResponse[HistoryResponse]:
    """Return the response of a page, with a ``Link`` to the next one."""
    body = await _history_response(page, context_of(request).organization_id)
    link = next_link(request, {"after": body.items[-1].version, "limit": query.limit}) if page.has_next else {}
    return JsonResponse(body, link)
