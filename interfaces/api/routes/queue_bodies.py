"""Bodies and responses of ``/client/{client_id}/task_scheduler`` (``docs/contracts/task_scheduler.md``)."""

from datetime import datetime
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta

from application.new_callbacks import NewCallback
from application.queries.callback_list import CallbackRow
from application.queries.queue_board import QueueRow
from domain.callback.events import FinishResult
from domain.callback_queue.callback_queue import DEFAULT_STATUS
from domain.callback_queue.events import QueueStatus
from domain.limits import (
    CONCURRENT_CALLBACKS_MAX,
    DEFAULT_CONCURRENT_CALLBACKS,
    DEFAULT_PAUSE_S,
    DEFAULT_TRIES,
    NEW_CALLBACKS_MAX,
    PAUSE_MAX_S,
    PHONE_MAX,
    START_AHEAD_MAX_S,
    TRIES_MAX,
    URL_MAX,
)
from interfaces.api.routes.queue_times import format_utc, parse_start_time
from interfaces.api.web.field_types import (
    DATE_OR_SECONDS,
    PAUSE,
    PHONE,
    POSITION_MAX,
    URL,
    CommentText,
    Name,
    ShortText,
)
from interfaces.api.web.paging import ListQuery

ConcurrencyLimit = Annotated[
    int, Meta(ge=1, le=CONCURRENT_CALLBACKS_MAX, description="Maximum number of callbacks that run at the same time.")
]
UnsupportedInterval = Annotated[
    None, Meta(description="Business hours of the queue. Not supported: only null is accepted.")
]
# The patterns of these two types are documented but not checked here: the use case checks both, and a check of each of
# 10,000 callbacks takes time.
CallNumber = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=PHONE_MAX,
        description="E.164, a national number of the organisation's region, or an extension of 2 to 8 digits.",
        examples=["+77011234567"],
        extra_json_schema={"pattern": PHONE},
    ),
]
WebhookUrl = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=URL_MAX,
        description="URL with http or https, to a public address.",
        examples=["https://crm.example/callbacks"],
        extra_json_schema={"pattern": URL},
    ),
]
Pause = Annotated[str, Meta(pattern=PAUSE)] | Annotated[int, Meta(ge=0, le=PAUSE_MAX_S)]
StartTime = Annotated[str, Meta(pattern=DATE_OR_SECONDS)] | Annotated[int, Meta(ge=0, le=START_AHEAD_MAX_S)]
Status = Literal["scheduled", "executed", "delayed", "finished"]


class NewQueueBody(msgspec.Struct, frozen=True, kw_only=True):
    """A queue to create. Unknown keys are ignored; null means absent."""

    name: Name
    comment: CommentText | None = None
    status: Annotated[QueueStatus, Meta(description=f"Default: {DEFAULT_STATUS}.")] | None = None
    concurrent_task_limit: (
        Annotated[
            ConcurrencyLimit,
            Meta(
                description=f"Maximum number of callbacks that run at the same time; default {DEFAULT_CONCURRENT_CALLBACKS}."
            ),
        ]
        | None
    ) = None
    interval_id: UnsupportedInterval = None


class QueueChangeBody(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a queue. Absent or null fields are not changed. Unknown keys are ignored."""

    name: Name | None = None
    comment: CommentText | None = None
    status: QueueStatus | None = None
    concurrent_task_limit: ConcurrencyLimit | None = None
    interval_id: UnsupportedInterval = None


class NewCallbackBody(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to schedule: A is called first, then B. Unknown keys are ignored; null means absent."""

    a_number: CallNumber
    b_number: CallNumber
    name: ShortText | None = None
    extension_id: (
        Annotated[int, Meta(ge=0, le=POSITION_MAX, description="The account that pays for the call.")] | None
    ) = None
    try_count: (
        Annotated[int, Meta(ge=1, le=TRIES_MAX, description=f"Maximum number of attempts; default {DEFAULT_TRIES}.")]
        | None
    ) = None
    try_again_pause: (
        Annotated[
            Pause, Meta(description=f"Seconds between attempts, at most {PAUSE_MAX_S:,}; default {DEFAULT_PAUSE_S}.")
        ]
        | None
    ) = None
    url_before: WebhookUrl | None = None
    url_before_again: WebhookUrl | None = None
    url_success: WebhookUrl | None = None
    url_after: WebhookUrl | None = None
    start_time_utc: (
        Annotated[
            StartTime, Meta(description="YYYY-MM-DD HH:MM:SS in UTC, or seconds from now; at most 365 days ahead.")
        ]
        | None
    ) = None


class NewCallbacksBody(msgspec.Struct, frozen=True, kw_only=True):
    """Callbacks to schedule: all of them or none."""

    tasks: Annotated[list[NewCallbackBody], Meta(min_length=1, max_length=NEW_CALLBACKS_MAX)]


class CallbackListQuery(ListQuery, frozen=True, kw_only=True):
    """The page of a list of callbacks, and its filters. Without any, the first 1,000 callbacks."""

    status: Status | None = None
    finish_result: FinishResult | None = None


class QueueResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A callback queue. Every key is present; null means not set."""

    id: int
    name: str
    comment: str | None
    status: QueueStatus
    concurrent_task_limit: int
    create_date_utc: str


class CallbackResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A callback. Every key is present; null means not set or not known yet."""

    id: int
    scheduler_id: int
    name: str | None
    a_number: str
    b_number: str
    extension_id: int | None
    try_count: int
    try_again_pause: str
    url_before: str | None
    url_before_again: str | None
    url_success: str | None
    url_after: str | None
    start_time_utc: str
    status: Status
    finish_result: FinishResult | None
    finish_comment: str | None
    cdr: Annotated[str | None, Meta(description="UUID of the last attempt's call; call_history returns its record.")]
    create_date_utc: str


def to_new_callback(new: NewCallbackBody, now: datetime) -> NewCallback:
    """Return the callback of a body. Raises InvalidField on ``start_time_utc``."""
    return NewCallback(
        a_number=new.a_number,
        b_number=new.b_number,
        start_time=parse_start_time(new.start_time_utc, now),
        name=new.name,
        extension_id=new.extension_id,
        try_count=DEFAULT_TRIES if new.try_count is None else new.try_count,
        try_again_pause=DEFAULT_PAUSE_S if new.try_again_pause is None else int(new.try_again_pause),
        url_before=new.url_before,
        url_before_again=new.url_before_again,
        url_success=new.url_success,
        url_after=new.url_after,
    )


def queue_response(row: QueueRow) -> QueueResponse:
    """Return a queue in the form of the contract."""
    return QueueResponse(
        id=row.id,
        name=row.name,
        comment=row.comment,
        status=QueueStatus(row.status),
        concurrent_task_limit=row.concurrent_task_limit,
        create_date_utc=format_utc(row.created_at),
    )


def callback_response(row: CallbackRow) -> CallbackResponse:
    """Return a callback in the form of the contract."""
    return CallbackResponse(
        id=row.id,
        scheduler_id=row.queue_id,
        name=row.name,
        a_number=row.a_number,
        b_number=row.b_number,
        extension_id=row.extension_id,
        try_count=row.try_count,
        try_again_pause=str(row.try_again_pause),
        url_before=row.url_before,
        url_before_again=row.url_before_again,
        url_success=row.url_success,
        url_after=row.url_after,
        start_time_utc=format_utc(row.start_time),
        status=cast("Status", row.status),
        finish_result=FinishResult(row.finish_result) if row.finish_result else None,
        finish_comment=row.finish_comment,
        cdr=row.call_id,
        create_date_utc=format_utc(row.created_at),
    )
