"""Whenever a task needs a callback, one is scheduled; then each follows the other until both have ended."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, assert_never

import msgspec
from psycopg import AsyncConnection

from application.policies.carry_out_callback_tasks import (
    Decide,
    Handled,
    HandledTaskFact,
    Ignored,
    Prerequisites,
    callback_for,
    cancel_callback,
    fail_task,
    follow_callback,
    missing_prerequisite,
    needs_callback,
    schedule_callback,
)
from application.policies.decision import Decision
from domain.callback.events import CallbackCancelled, CallbackFinished
from domain.callback_queue.callback_queue import replay as replay_queue
from domain.model import Recorded
from domain.organization.events import Settings
from domain.streams import TASK_PREFIX, aggregate_id, callback_stream, queue_stream, task_stream
from domain.task.events import (
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskFiled,
    TaskReprocessed,
    TaskType,
)
from domain.task.task import Task
from domain.task.task import replay as replay_task
from infrastructure.event_log.decisions import decide_and_append, read_streams
from infrastructure.event_log.sequences import draw_callback_ids
from infrastructure.policies.schedule_cache import ScheduleCache
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.handler import POLICY_TUNING, actor_of, envelope_for, fact_types, topics_of

_STARTS_OF_TRIES = (TaskFiled, TaskReprocessed)
_ENDS_OF_TASKS = (TaskCancelled, TaskCompleted, TaskFailed)
_ENDS_OF_CALLBACKS = (CallbackFinished, CallbackCancelled)

_LINKS = statement("SELECT task_id, callback_id FROM {schema}.task_callbacks WHERE task_id = ANY(%s)")
_LINK = statement("""
    INSERT INTO {schema}.task_callbacks (task_id, callback_id)
    SELECT * FROM unnest(%s::text[], %s::bigint[])
    ON CONFLICT (task_id) DO UPDATE
    SET callback_id = excluded.callback_id
""")
_UNLINK = statement("DELETE FROM {schema}.task_callbacks WHERE task_id = ANY(%s)")
_PREREQUISITES = statement("""
    SELECT w.organization_id, w.operator, g.settings::text, o.phone
    FROM unnest(%s::bigint[], %s::int[]) AS w (organization_id, operator)
    JOIN {schema}.organizations AS g ON g.id = w.organization_id
    LEFT JOIN {schema}.operators AS o ON (o.organization_id, o.number) = (w.organization_id, w.operator)
""")


class CarryOutCallbackTasks:
    """Links tasks of type callback with the callbacks that carry them out (``docs/contracts/tasks.md``, Callbacks)."""

    name = "carry_out_callback_tasks"
    summary = "Whenever a task needs a callback, one is scheduled; then each follows the other until both have ended."
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = topics_of(handled, ('"task_type":"callback"', '"task_id":'))
    tuning = POLICY_TUNING

    def __init__(self, schedules: ScheduleCache) -> None:
        """Read from ``schedules`` which task a callback carries out."""
        self._schedules = schedules

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """See the protocol."""
        schedules = await self._schedules.load(connection, events)
        task_ids = {stream: fact.task_id for stream, fact in schedules.items() if fact.task_id}
        relevant = [
            event for event in events if event.stream in task_ids or (_is_of_task(event) and _may_concern(event))
        ]
        if not relevant:
            return
        task_ids |= {event.stream: aggregate_id(event.stream) for event in relevant if _is_of_task(event)}
        links = _Links(await _linked_callbacks(connection, task_ids.values()))
        tries = await _started_tries(connection, relevant)
        callback_ids = iter(await draw_callback_ids(connection, len(tries)))
        for event in relevant:
            task_id = task_ids[event.stream]
            if started := tries.get(event.position):
                links.start(event, task_id, started, next(callback_ids))
            elif event.actor != _ACTOR:
                links.follow(event, task_id)
            links.release(event, task_id)
        await links.write(connection)
        await decide_and_append(connection, links.decisions)


class _Try(msgspec.Struct, frozen=True):
    """A try of a task that needs a callback, and the prerequisites that its organisation provides."""

    task: Task
    prerequisites: Prerequisites


class _Links:
    """Links between tasks and the callbacks that carry them out, and the decisions about both."""

    def __init__(self, linked: Mapping[str, int]) -> None:
        self._before = linked
        self._callbacks = dict(linked)
        self.decisions: list[Decision] = []

    def start(self, event: Recorded[Any], task_id: str, started: _Try, callback_id: int) -> None:
        """Schedule a callback, or let the task fail when a prerequisite is missing."""
        if problem := missing_prerequisite(started.task, started.prerequisites):
            self._decide(event, event.stream, fail_task(problem))
            return
        self._callbacks[task_id] = callback_id
        scheduled = callback_for(started.task, started.prerequisites, event.recorded_at)
        self._decide(event, callback_stream(callback_id), schedule_callback(scheduled))

    def follow(self, event: Recorded[Any], task_id: str) -> None:
        """Cancel the callback of a task that ended, or let the task follow its callback."""
        callback_id = self._callbacks.get(task_id)
        if callback_id is None:
            return
        if isinstance(event.fact, _ENDS_OF_TASKS):
            self._decide(event, callback_stream(callback_id), cancel_callback)
        elif event.stream == callback_stream(callback_id) and (decide := follow_callback(event.fact)):
            self._decide(event, task_stream(task_id), decide)

    def release(self, event: Recorded[Any], task_id: str) -> None:
        """Remove the link to a callback that has ended."""
        callback_id = self._callbacks.get(task_id)
        if (
            callback_id is not None
            and isinstance(event.fact, _ENDS_OF_CALLBACKS)
            and event.stream == callback_stream(callback_id)
        ):
            del self._callbacks[task_id]

    async def write(self, connection: AsyncConnection) -> None:
        """Write the links that changed."""
        changed = sorted(pair for pair in self._callbacks.items() if self._before.get(pair[0]) != pair[1])
        if gone := self._before.keys() - self._callbacks.keys():
            await connection.execute(_UNLINK, (sorted(gone),))
        if changed:
            await connection.execute(_LINK, tuple(map(list, zip(*changed, strict=True))))

    def _decide(self, event: Recorded[Any], stream: str, decide: Decide) -> None:
        self.decisions.append(
            Decision(stream=stream, decide=decide, envelope=envelope_for(CarryOutCallbackTasks.name, event))
        )


_ACTOR = actor_of(CarryOutCallbackTasks.name)


def _is_of_task(event: Recorded[Any]) -> bool:
    return event.stream.startswith(TASK_PREFIX)


def _may_concern(event: Recorded[HandledTaskFact]) -> bool:
    """Return whether the fact of a task may concern a callback: it starts a try, or a client ended the task."""
    fact = event.fact
    match fact:
        case TaskFiled(task_type=task_type, personal=details):
            return task_type is TaskType.CALLBACK and details.caller_phone is not None
        case TaskReprocessed():
            return True
        case TaskCancelled() | TaskCompleted() | TaskFailed():
            return event.actor != _ACTOR
        case _:
            assert_never(fact)


async def _linked_callbacks(connection: AsyncConnection, task_ids: Iterable[str]) -> dict[str, int]:
    return dict(await (await connection.execute(_LINKS, (sorted(set(task_ids)),))).fetchall())


async def _started_tries(connection: AsyncConnection, events: Iterable[Recorded[Any]]) -> dict[int, _Try]:
    """Return the tries that need a callback, by the position of the event that starts them.

    Tries of organisations that name no queue for callbacks are left out.
    """
    starts = [event for event in events if isinstance(event.fact, _STARTS_OF_TRIES)]
    streams = await read_streams(connection, (event.stream for event in starts))
    tasks = {event.position: replay_task(streams[event.stream]) for event in starts}
    in_need = {
        event.position: task
        for event in starts
        if (task := tasks[event.position]) and needs_callback(task, _attempt(event.fact))
    }
    prerequisites = await _prerequisites(connection, in_need.values())
    return {
        position: _Try(task, provided)
        for position, task in in_need.items()
        if (provided := prerequisites.get((task.organization_id, task.operator_number)))
    }


def _attempt(fact: TaskFiled | TaskReprocessed) -> int:
    return fact.attempt if isinstance(fact, TaskReprocessed) else 1


async def _prerequisites(connection: AsyncConnection, tasks: Iterable[Task]) -> dict[tuple[int, int], Prerequisites]:
    """Return the prerequisites by organisation and operator; none where the settings name no queue for callbacks."""
    keys = sorted({(task.organization_id, task.operator_number) for task in tasks})
    if not keys:
        return {}
    cursor = await connection.execute(_PREREQUISITES, tuple(map(list, zip(*keys, strict=True))))
    found = [
        (organization_id, operator, settings, phone, queue_stream(queue_id))
        for organization_id, operator, text, phone in await cursor.fetchall()
        if (queue_id := (settings := msgspec.json.decode(text, type=Settings)).callback_queue) is not None
    ]
    queues = await read_streams(connection, (stream for *_, stream in found))
    return {
        (organization_id, operator): Prerequisites(
            settings=settings,
            a_number=phone,
            has_queue=_exists(queues[stream], organization_id),
        )
        for organization_id, operator, settings, phone, stream in found
    }


def _exists(events: Sequence[Recorded[Any]], organization_id: int) -> bool:
    queue = replay_queue(events)
    return queue is not None and queue.organization_id == organization_id and not queue.is_deleted
