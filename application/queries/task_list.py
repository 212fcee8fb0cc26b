"""Read model of tasks: the list of an organisation's tasks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from domain.task.events import Priority, TaskType
from domain.task.task import Status


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the list of tasks."""

    id: str
    organization_id: int
    version: int
    attempt: int
    operator_number: int
    status: str
    task_type: str
    priority: str
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
    assigned_user_id: str | None
    created_by_user_id: str | None
    assigned_user_name: str | None = None


class TaskListFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter of tasks; None matches all.

    ``search`` is a substring of the title; case and encoding are ignored, and ё is е. Without ``include_cancelled``, cancelled tasks match only
    if ``status`` is cancelled.
    """

    status: Status | None = None
    task_type: TaskType | None = None
    priority: Priority | None = None
    search: str | None = None
    include_cancelled: bool = False
    assigned_user_id: str | None = None
    caller_phone: str | None = None


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list: rows and total at one log position.

    ``has_next``: older tasks match. ``total_is_exact`` is false if a search has more than 10,000 matches, because it does
    not count further.
    """

    items: Sequence[TaskRow]
    has_next: bool
    total: int
    total_is_exact: bool
    position: int


class TaskList(Protocol):
    """The tasks of organisations, newest first."""

    async def page(
        self,
        organization_id: int,
        matching: TaskListFilter,
        *,
        page: int = 1,
        after: str | None = None,
        per_page: int,
    ) -> TaskPage:
        """Return a page, counted from 1, or the tasks that are listed after the task ``after``.

        A page after the last one is empty. A page by number costs more the farther it is from both ends of the list, one by
        ``after`` does not. Raises InvalidField if the organisation has no task ``after``, StorageUnavailable.
        """
        ...
