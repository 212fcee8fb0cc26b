"""Projection callback_list: callbacks of queues, and their counts."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection

from application.cooperative import in_parts
from application.queries.callback_list import CallbackRow, callback_row
from domain.callback.callback import Callback, Status, evolve
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackDetails,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    CallEnded,
    FinishResult,
)
from domain.callback_queue.events import (
    QueueCreated,
    QueueDeleted,
    QueueDescribed,
    QueueLimitChanged,
    QueueRulesChosen,
    QueueSwitchedOff,
    QueueSwitchedOn,
)
from domain.model import Recorded
from domain.streams import CALLBACK_PREFIX, QUEUE_PREFIX, aggregate_id, aggregate_number
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.handler import VIEW_TUNING, fact_types
from infrastructure.subscriptions.projection import Table, VersionGap

_OTHER_TYPES = {
    "int8": ("id", "organization_id", "queue_id", "version", "extension_id"),
    "int4": ("try_count", "try_again_pause", "attempt"),
    "timestamptz": ("start_time", "created_at", "updated_at", "due_at"),
    "bool": ("is_deleted",),
}
_TYPES = {name: type_ for type_, names in _OTHER_TYPES.items() for name in names}
_COLUMNS = {name: _TYPES.get(name, "text") for name in (*CallbackRow.__struct_fields__, "is_deleted")}
_INSERT = f"COPY {{schema}}.callback_list{{suffix}} ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT binary)"

# Columns that a later fact can change, or that a count depends on; numbers and URLs are not read.
_FOLDED = """
    SELECT id, organization_id, queue_id, version, created_at, updated_at, due_at, status, attempt, call_id,
        finish_result, finish_comment, is_deleted
    FROM {schema}.callback_list{suffix}
    WHERE id = ANY(ARRAY(SELECT json_array_elements_text(%s::json)::bigint))
"""
_UPDATE = """
    UPDATE {schema}.callback_list{suffix} AS c
    SET version = x.version,
        updated_at = x.updated_at,
        due_at = x.due_at,
        status = x.status,
        attempt = x.attempt,
        call_id = x.call_id,
        finish_result = x.finish_result,
        finish_comment = x.finish_comment,
        is_deleted = x.is_deleted
    FROM json_to_recordset(%s::json) AS x (
        id bigint, version bigint, updated_at timestamptz, due_at timestamptz, status text, attempt int, call_id text,
        finish_result text, finish_comment text, is_deleted boolean
    )
    WHERE c.id = x.id
"""
_COUNT = """
    INSERT INTO {schema}.callback_counts{suffix} AS c
    SELECT * FROM json_populate_recordset(NULL::{schema}.callback_counts{suffix}, %s::json)
    ON CONFLICT (queue_id) DO UPDATE
    SET scheduled = c.scheduled + excluded.scheduled,
        executed = c.executed + excluded.executed,
        delayed = c.delayed + excluded.delayed,
        success = c.success + excluded.success,
        failed = c.failed + excluded.failed,
        attempts_joined = c.attempts_joined + excluded.attempts_joined,
        attempts_failed = c.attempts_failed + excluded.attempts_failed,
        queue_is_deleted = c.queue_is_deleted OR excluded.queue_is_deleted
"""
_STATUSES = {status.value: status for status in Status}
_RESULTS = {None: None} | {result.value: result for result in FinishResult}


class _Count(msgspec.Struct):
    """Change of the counts of a queue."""

    queue_id: int
    organization_id: int
    scheduled: int = 0
    executed: int = 0
    delayed: int = 0
    success: int = 0
    failed: int = 0
    attempts_joined: int = 0
    attempts_failed: int = 0
    queue_is_deleted: bool = False


class _Change(msgspec.Struct, frozen=True):
    """The columns of a row that can change."""

    id: int
    version: int
    updated_at: datetime
    due_at: datetime | None
    status: Status
    attempt: int
    call_id: str | None
    finish_result: FinishResult | None
    finish_comment: str | None
    is_deleted: bool


class _Fold:
    """Folds a batch of facts into callbacks and counts.

    A queue whose counts do not change gets a count of 0, so that the rows do not depend on the batches.
    """

    def __init__(self, folded: Iterable[Callback]) -> None:
        self.callbacks = {callback.id: callback for callback in folded}
        self.scheduled: set[int] = set()
        self.changed: set[int] = set()
        self.counts: dict[int, _Count] = {}

    def add(self, event: Recorded[Any]) -> None:
        if event.stream.startswith(QUEUE_PREFIX):
            if isinstance(event.fact, QueueDeleted):
                self._count(aggregate_number(event.stream), event).queue_is_deleted = True
            return
        callback_id = aggregate_number(event.stream)
        before = self.callbacks.get(callback_id)
        folded = before.version if before else 0
        if event.version <= folded:
            return
        if event.version > folded + 1:
            raise VersionGap(event, folded)
        callback = self.callbacks[callback_id] = evolve(before, event)
        count = self._count(callback.scheduled.queue_id, event)
        if before is None:
            self.scheduled.add(callback_id)
        else:
            self.changed.add(callback_id)
            _add(count, before, -1)
        _add(count, callback, 1)
        if isinstance(event.fact, AttemptSucceeded):
            count.attempts_joined += 1
        elif isinstance(event.fact, AttemptFailed):
            count.attempts_failed += 1

    def _count(self, queue_id: int, event: Recorded[Any]) -> _Count:
        count = self.counts.get(queue_id)
        if count is None:
            count = self.counts[queue_id] = _Count(queue_id=queue_id, organization_id=event.organization_id or 0)
        return count


def _add(count: _Count, callback: Callback, change: int) -> None:
    if not callback.is_deleted:
        kind = callback.finish_result or callback.status
        setattr(count, kind, getattr(count, kind) + change)


Handled = (
    CallbackScheduled
    | AttemptStarted
    | AttemptSucceeded
    | AttemptFailed
    | CallEnded
    | CallbackDelayed
    | CallbackFinished
    | CallbackCancelled
    | CallbackRemoved
    | QueueDeleted
)
Ignored = QueueCreated | QueueDescribed | QueueLimitChanged | QueueSwitchedOn | QueueSwitchedOff | QueueRulesChosen


class CallbackListProjection:
    """Folds callbacks with the domain's ``evolve``, and counts them."""

    name = "callback_list"
    summary = "Which callbacks does a queue have, how many of each status, and how did its attempts end?"
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = (CALLBACK_PREFIX, QUEUE_PREFIX)
    tuning = VIEW_TUNING
    tables = (Table("callback_counts", key=("queue_id",)), Table("callback_list", key=("id",)))

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str = "") -> None:
        """See the protocol."""
        fold = _Fold(await _folded_callbacks(connection, events, suffix))
        async for part in in_parts(events):
            for event in part:
                fold.add(event)
        await _insert(connection, suffix, [fold.callbacks[callback_id] for callback_id in sorted(fold.scheduled)])
        changes = [_change(fold.callbacks[callback_id]) for callback_id in sorted(fold.changed - fold.scheduled)]
        for query, rows in ((_UPDATE, changes), (_COUNT, list(fold.counts.values()))):
            if rows:
                # Not prepared: a plan made for a small table would be kept after it has grown.
                text = msgspec.json.encode(rows).decode()
                await connection.execute(statement(query, suffix), (text,), prepare=False)


async def _insert(connection: AsyncConnection, suffix: str, callbacks: Sequence[Callback]) -> None:
    if callbacks:
        async with connection.cursor().copy(statement(_INSERT, suffix)) as copy:
            copy.set_types(list(_COLUMNS.values()))
            async for part in in_parts(callbacks):
                for callback in part:
                    await copy.write_row((*msgspec.structs.astuple(callback_row(callback)), callback.is_deleted))


async def _folded_callbacks(
    connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str
) -> list[Callback]:
    streams = {event.stream for event in events if event.stream.startswith(CALLBACK_PREFIX)}
    ids = msgspec.json.encode([aggregate_id(stream) for stream in streams]).decode()
    cursor = await connection.cursor(binary=True).execute(statement(_FOLDED, suffix), (ids,), prepare=False)
    return [
        Callback(
            id=row[0],
            organization_id=row[1],
            version=row[3],
            scheduled=_unread_schedule(row[2], row[4]),
            created_at=row[4],
            updated_at=row[5],
            due_at=row[6],
            status=_STATUSES[row[7]],
            attempt=row[8],
            call_id=row[9],
            finish_result=_RESULTS[row[10]],
            finish_comment=row[11],
            is_deleted=row[12],
        )
        for row in await cursor.fetchall()
    ]


def _unread_schedule(queue_id: int, at: datetime) -> CallbackScheduled:
    """Return a stand-in for the first fact: later facts need only its queue."""
    no_details = CallbackDetails(subject="", a_number="", b_number="")
    return CallbackScheduled(queue_id=queue_id, try_count=1, try_again_pause=0, start_time=at, personal=no_details)


def _change(callback: Callback) -> _Change:
    return _Change(
        id=callback.id,
        version=callback.version,
        updated_at=callback.updated_at,
        due_at=callback.due_at,
        status=callback.status,
        attempt=callback.attempt,
        call_id=callback.call_id,
        finish_result=callback.finish_result,
        finish_comment=callback.finish_comment,
        is_deleted=callback.is_deleted,
    )
