"""Read model of callbacks: the list of a queue's callbacks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from application.headroom import Usage
from domain.callback.callback import Callback, Status
from domain.callback.events import FinishResult


class CallbackRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the list. ``call_id`` is the UUID of the last attempt's call; ``try_again_pause`` is in seconds.

    ``due_at`` is the time of the next attempt; None while an attempt runs, and if there will be no further attempt.
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
    """A filter of callbacks; None matches all."""

    status: Status | None = None
    finish_result: FinishResult | None = None


class CallbackPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list, and the total of callbacks that match its filter, both at one log position."""

    items: Sequence[CallbackRow]
    total: int
    position: int


class CallbackList(Protocol):
    """The callbacks of queues, by id. Deleted ones are in no list, nor is any of a deleted queue."""

    async def page(
        self,
        organization_id: int,
        queue_id: int,
        matching: CallbackListFilter,
        *,
        after: int = 0,
        offset: int = 0,
        limit: int,
    ) -> CallbackPage:
        """Return at most ``limit`` callbacks with ids above ``after``, without the first ``offset`` of them.

        An unknown queue, or one of another organisation, has none. The view is ``callback_list``. Raises StorageUnavailable.
        """
        ...

    async def waiting(self, organization_id: int) -> Usage:
        """Return the number of callbacks of the organisation that wait for an attempt. Raises StorageUnavailable."""
        ...


def callback_row(callback: Callback) -> CallbackRow:
    """Return the list row of a callback."""
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
