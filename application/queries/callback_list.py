"""What is read of callback queues: their callbacks, their list, and the board that says how they stand."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from domain.callback.callback import Callback, Status
from domain.callback.events import FinishResult
from domain.callback_queue.callback_queue import CallbackQueue


class CallbackRow(msgspec.Struct, frozen=True, kw_only=True):
    """A callback as a list shows it; ``call_id`` is the uuid of the last attempt's call, ``try_again_pause`` in seconds.

    ``due_at`` is when it is to be dialled next: None while an attempt runs and when none will.
    """

    id: int
    organization_id: int
    queue_id: int
    version: int
    name: str | None
    a_number: str
    b_number: str
    extension_id: int | None
    try_count: int
    try_again_pause: int
    url_before: str | None
    url_before_again: str | None
    url_success: str | None
    url_after: str | None
    start_time: datetime
    task_id: str | None
    created_at: datetime
    updated_at: datetime
    due_at: datetime | None
    status: str
    attempt: int
    call_id: str | None
    finish_result: str | None
    finish_comment: str | None


class CallbackListFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which callbacks are wanted; what is None filters nothing."""

    status: Status | None = None
    finish_result: FinishResult | None = None


class CallbackPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list, and how many callbacks pass its filter, before and behind the part too, as of one log position."""

    items: Sequence[CallbackRow]
    total: int
    position: int


class CallbackList(Protocol):
    """The callbacks of queues, by id. Deleted ones are in no list, nor is any of a deleted queue."""

    async def page(
        self,
        organization_id: int,
        queue_id: int,
        wanted: CallbackListFilter,
        *,
        after: int = 0,
        offset: int = 0,
        limit: int,
    ) -> CallbackPage:
        """Answer at most ``limit`` callbacks whose ids are above ``after``, without the first ``offset`` of them.

        A queue that is unknown, or another organisation's, has none. The view is ``callback_list``. Raises StorageUnavailable.
        """
        ...


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as a list shows it; ``status`` is ``on`` or ``off``."""

    id: int
    organization_id: int
    version: int
    name: str
    comment: str | None
    status: str
    concurrent_task_limit: int
    created_at: datetime


class QueuePage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list of queues, as of one log position."""

    items: Sequence[QueueRow]
    position: int


class Idle(StrEnum):
    """Why a queue starts nothing just now; the first that holds, in this order.

    A switch is away, too, while it is left alone because its trunks carry nothing.
    """

    OFF = "off"
    NOTHING_DUE = "nothing_due"
    SWITCH_AWAY = "switch_away"
    LIMIT_REACHED = "limit_reached"
    CHANNELS_FULL = "channels_full"


class QueueStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands.

    ``waiting``, ``delayed``, ``running``, ``succeeded`` and ``failed`` count its callbacks, deleted ones left out;
    ``taken`` counts the calls that run, a call that goes on after its callback has finished among them. ``answer_rate``
    is the share of the attempts that joined A and B, of all whose outcome is known: None before the first.
    ``oldest_due`` is when the callback that waits longest is, or was, due. ``idle`` is None when something is starting.
    """

    id: int
    name: str
    status: str
    concurrent_task_limit: int
    taken: int
    waiting: int
    delayed: int
    running: int
    succeeded: int
    failed: int
    answer_rate: float | None
    oldest_due: datetime | None
    idle: Idle | None


class QueueStandings(msgspec.Struct, frozen=True, kw_only=True):
    """How queues stand: what of it comes from views is as of one log position, taken and due are as of now."""

    items: Sequence[QueueStanding]
    position: int


class QueueBoard(Protocol):
    """The queues of organisations, by id, without deleted ones."""

    async def queues(self, organization_id: int, *, after: int = 0, offset: int = 0, limit: int) -> QueuePage:
        """Answer at most ``limit`` queues whose ids are above ``after``, without the first ``offset`` of them.

        The view is ``queue_board``. Raises StorageUnavailable.
        """
        ...

    async def standings(
        self, organization_id: int, *, queue_id: int | None = None, after: int = 0, limit: int
    ) -> QueueStandings:
        """Answer how at most ``limit`` queues stand, or that one if it is there. Raises StorageUnavailable."""
        ...


def callback_row(callback: Callback) -> CallbackRow:
    """Answer the callback as a list would show it."""
    scheduled, details = callback.scheduled, callback.details
    return CallbackRow(
        id=callback.id,
        organization_id=callback.organization_id,
        queue_id=scheduled.queue_id,
        version=callback.version,
        name=details.name,
        a_number=details.a_number,
        b_number=details.b_number,
        extension_id=scheduled.extension_id,
        try_count=scheduled.try_count,
        try_again_pause=scheduled.try_again_pause,
        url_before=scheduled.url_before,
        url_before_again=scheduled.url_before_again,
        url_success=scheduled.url_success,
        url_after=scheduled.url_after,
        start_time=scheduled.start_time,
        task_id=scheduled.task_id,
        created_at=callback.created_at,
        updated_at=callback.updated_at,
        due_at=callback.due_at,
        status=callback.status,
        attempt=callback.attempt,
        call_id=callback.call_id,
        finish_result=callback.finish_result,
        finish_comment=callback.finish_comment,
    )


def queue_row(queue: CallbackQueue) -> QueueRow:
    """Answer the queue as a list would show it."""
    return QueueRow(
        id=queue.id,
        organization_id=queue.organization_id,
        version=queue.version,
        name=queue.name,
        comment=queue.comment,
        status=queue.status,
        concurrent_task_limit=queue.concurrent_task_limit,
        created_at=queue.created_at,
    )
