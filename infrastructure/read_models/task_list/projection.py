"""Projection task_list: tasks of an organisation, and their counts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection

from application.cooperative import in_parts
from domain.model import Recorded
from domain.streams import TASK_PREFIX, aggregate_id
from domain.task.events import (
    AppealLinked,
    CallDetails,
    Failure,
    Priority,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskFiled,
    TaskPutBack,
    TaskReprocessed,
    TaskStarted,
    TaskType,
)
from domain.task.task import Status, Task, evolve
from infrastructure.postgres.sql import statement
from infrastructure.read_models.task_list.folding import fold
from infrastructure.read_models.task_list.grams import title_grams
from infrastructure.subscriptions.handler import VIEW_TUNING, fact_types
from infrastructure.subscriptions.projection import Table, VersionGap

_ANYONE = ""

_COLUMNS = {
    "id": "text",
    "organization_id": "int8",
    "version": "int8",
    "attempt": "int4",
    "operator_number": "int4",
    "status": "text",
    "task_type": "text",
    "priority": "text",
    "title": "text",
    "title_folded": "text",
    "title_grams": "int4[]",
    "description": "text",
    "caller_phone": "text",
    "caller_name": "text",
    "call_id": "text",
    "recording_url": "text",
    "call_datetime": "timestamptz",
    "call_transcription": "text",
    "call_summary": "text",
    "call_response_summary": "text",
    "error_message": "text",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "due_date": "timestamptz",
    "completed_at": "timestamptz",
    "appeal_id": "text",
    "assigned_user_id": "text",
    "created_by_user_id": "text",
}
_INSERT = f"COPY {{schema}}.task_list{{suffix}} ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT binary)"

# Columns that a later fact can change, or that a count depends on; texts of the call are not read.
_FOLDED = """
    SELECT id, organization_id, version, attempt, operator_number, status, task_type, priority, error_message,
        created_at, updated_at, completed_at, appeal_id, assigned_user_id
    FROM {schema}.task_list{suffix}
    WHERE id = ANY(ARRAY(SELECT json_array_elements_text(%s::json)))
"""
_UPDATE = """
    UPDATE {schema}.task_list{suffix} AS t
    SET version = x.version,
        attempt = x.attempt,
        status = x.status,
        error_message = x.error_message,
        updated_at = x.updated_at,
        completed_at = x.completed_at,
        appeal_id = x.appeal_id
    FROM json_to_recordset(%s::json) AS x (
        id text, version bigint, attempt int, status text, error_message text, updated_at timestamptz,
        completed_at timestamptz, appeal_id text
    )
    WHERE t.id = x.id
"""
_COUNT = """
    INSERT INTO {schema}.task_counts{suffix} AS c
    SELECT * FROM json_populate_recordset(NULL::{schema}.task_counts{suffix}, %s::json)
    ON CONFLICT (organization_id, assigned_user_id, status, task_type, priority) DO UPDATE
    SET count = c.count + excluded.count
"""
_UNREAD_DETAILS = CallDetails(subject="", title="")
_STATUSES = {status.value: status for status in Status}
_TYPES = {task_type.value: task_type for task_type in TaskType}
_PRIORITIES = {priority.value: priority for priority in Priority}

_Kind = tuple[int, str, str, str, str]


class _Count(msgspec.Struct, frozen=True):
    """Change of the count of a kind of task."""

    organization_id: int
    assigned_user_id: str
    status: str
    task_type: str
    priority: str
    count: int


class _Change(msgspec.Struct, frozen=True):
    """The columns of a row that can change."""

    id: str
    version: int
    attempt: int
    status: Status
    error_message: str | None
    updated_at: datetime
    completed_at: datetime | None
    appeal_id: str | None


class _Fold:
    """Folds a batch of facts into tasks and counts."""

    def __init__(self, folded: Iterable[Task]) -> None:
        self.tasks = {task.id: task for task in folded}
        self.filed: set[str] = set()
        self.changed: set[str] = set()
        self.counts = defaultdict[_Kind, int](int)

    def add(self, event: Recorded[Any]) -> None:
        task_id = aggregate_id(event.stream)
        before = self.tasks.get(task_id)
        folded = before.version if before else 0
        if event.version <= folded:
            return
        if event.version > folded + 1:
            raise VersionGap(event, folded)
        task = self.tasks[task_id] = evolve(before, event)
        if before is None:
            self.filed.add(task_id)
        else:
            self.changed.add(task_id)
            self.counts[_kind(before)] -= 1
        self.counts[_kind(task)] += 1

    def count_rows(self) -> list[_Count]:
        """Return the changes of the counts, those of each member and those of all tasks.

        A kind that comes and goes within a batch gets a change of 0, so that the rows do not depend on the batches.
        """
        counts = self.counts.copy()
        for (organization_id, member, status, task_type, priority), change in self.counts.items():
            if member != _ANYONE:
                counts[organization_id, _ANYONE, status, task_type, priority] += change
        return [_Count(*kind, change) for kind, change in counts.items()]


def _kind(task: Task) -> _Kind:
    return (task.organization_id, task.assigned_user_id or _ANYONE, task.status, task.task_type, task.priority)


Handled = (
    TaskFiled | TaskStarted | TaskPutBack | TaskCompleted | TaskFailed | TaskCancelled | TaskReprocessed | AppealLinked
)


class TaskListProjection:
    """Folds tasks with the domain's ``evolve``, and counts them."""

    name = "task_list"
    summary = "Which tasks does an organisation have, and how many of each kind?"
    handled = fact_types(Handled)
    ignored = fact_types(())
    subscription = TASK_PREFIX
    tuning = VIEW_TUNING
    tables = (
        Table("task_counts", key=("organization_id", "assigned_user_id", "status", "task_type", "priority")),
        Table("task_list", key=("id",)),
    )

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str = "") -> None:
        """See the protocol."""
        fold = _Fold(await _folded_tasks(connection, events, suffix))
        async for part in in_parts(events):
            for event in part:
                fold.add(event)
        await _insert(connection, suffix, [fold.tasks[task_id] for task_id in sorted(fold.filed)])
        changes = [_change(fold.tasks[task_id]) for task_id in sorted(fold.changed - fold.filed)]
        for query, rows in ((_UPDATE, changes), (_COUNT, fold.count_rows())):
            if rows:
                # Not prepared: a plan made for a small table would be kept after it has grown.
                text = msgspec.json.encode(rows).decode()
                await connection.execute(statement(query, suffix), (text,), prepare=False)


async def _insert(connection: AsyncConnection, suffix: str, tasks: Sequence[Task]) -> None:
    if tasks:
        async with connection.cursor().copy(statement(_INSERT, suffix)) as copy:
            copy.set_types(list(_COLUMNS.values()))
            async for part in in_parts(tasks):
                for task in part:
                    await copy.write_row(_row(task))


async def _folded_tasks(connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str) -> list[Task]:
    ids = msgspec.json.encode({aggregate_id(event.stream) for event in events}).decode()
    cursor = await connection.cursor(binary=True).execute(statement(_FOLDED, suffix), (ids,), prepare=False)
    return [
        Task(
            id=row[0],
            organization_id=row[1],
            version=row[2],
            attempt=row[3],
            operator_number=row[4],
            status=_STATUSES[row[5]],
            task_type=_TYPES[row[6]],
            priority=_PRIORITIES[row[7]],
            failure=Failure(subject="", error_message=row[8]) if row[8] else None,
            created_at=row[9],
            updated_at=row[10],
            completed_at=row[11],
            appeal_id=row[12],
            assigned_user_id=row[13],
            details=_UNREAD_DETAILS,
        )
        for row in await cursor.fetchall()
    ]


def _change(task: Task) -> _Change:
    return _Change(
        id=task.id,
        version=task.version,
        attempt=task.attempt,
        status=task.status,
        error_message=task.error_message,
        updated_at=task.updated_at,
        completed_at=task.completed_at,
        appeal_id=task.appeal_id,
    )


def _row(task: Task) -> tuple[Any, ...]:
    details = task.details
    folded = fold(details.title)
    return (
        task.id,
        task.organization_id,
        task.version,
        task.attempt,
        task.operator_number,
        task.status,
        task.task_type,
        task.priority,
        details.title,
        folded,
        title_grams(task.organization_id, folded),
        details.description,
        details.caller_phone,
        details.caller_name,
        task.call_id,
        details.recording_url,
        task.call_datetime,
        details.call_transcription,
        details.call_summary,
        details.call_response_summary,
        task.error_message,
        task.created_at,
        task.updated_at,
        task.due_date,
        task.completed_at,
        task.appeal_id,
        task.assigned_user_id,
        task.created_by_user_id,
    )
