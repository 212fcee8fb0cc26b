"""Whenever a task asks for a callback, then one is scheduled; then each follows the other until both are over."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, assert_never

import msgspec
from psycopg import AsyncConnection

from application.policies.carry_out_callback_tasks import (
    Decide,
    Handled,
    Ignored,
    Prerequisites,
    TaskFacts,
    callback_for,
    cancel_callback,
    fail_task,
    follow_callback,
    missing_prerequisite,
    needs_callback,
    schedule_callback,
)
from application.policies.decision import Decision
from domain.callback.events import (
    CallbackCancelled,
    CallbackFinished,
)
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
from infrastructure.subscriptions.handler import POLICY_TUNING, actor_of, caused, fact_types, topics_of

_BEGINNINGS = (TaskFiled, TaskReprocessed)
_ENDS = (TaskCancelled, TaskCompleted, TaskFailed)
_LAST_WORDS = (CallbackFinished, CallbackCancelled)

_STANDING = statement("SELECT task_id, callback_id FROM {schema}.task_callbacks WHERE task_id = ANY(%s)")
_KEEP = statement(
    "INSERT INTO {schema}.task_callbacks (task_id, callback_id) SELECT * FROM unnest(%s::text[], %s::bigint[])"
    " ON CONFLICT (task_id) DO UPDATE SET callback_id = excluded.callback_id"
)
_FORGET = statement("DELETE FROM {schema}.task_callbacks WHERE task_id = ANY(%s)")
_MEANS = statement(
    "SELECT w.organization_id, w.operator, g.settings::text, o.phone"
    " FROM unnest(%s::bigint[], %s::int[]) AS w (organization_id, operator)"
    " JOIN {schema}.organizations AS g ON g.id = w.organization_id"
    " LEFT JOIN {schema}.operators AS o ON (o.organization_id, o.number) = (w.organization_id, w.operator)"
)


class CarryOutCallbackTasks:
    """Joins tasks of type callback with the callbacks that carry them out (contract 1, Callbacks)."""

    name = "carry_out_callback_tasks"
    summary = (
        "Whenever a task asks for a callback, then one is scheduled; then each follows the other until both are over."
    )
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = topics_of(handled, ('"task_type":"callback"', '"task_id":'))
    tuning = POLICY_TUNING

    def __init__(self, schedules: ScheduleCache) -> None:
        """Learn from ``schedules`` which task a callback carries out."""
        self._schedules = schedules

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """See the protocol."""
        schedules = await self._schedules.load(connection, events)
        task_ids = {stream: fact.task_id for stream, fact in schedules.items() if fact.task_id}
        concerned = [
            event for event in events if event.stream in task_ids or (_is_of_task(event) and _may_concern(event))
        ]
        if not concerned:
            return
        task_ids |= {event.stream: aggregate_id(event.stream) for event in concerned if _is_of_task(event)}
        joined = _Joined(await _standing(connection, task_ids.values()))
        begun = await _begun(connection, concerned)
        numbers = iter(await draw_callback_ids(connection, len(begun)))
        for event in concerned:
            task_id = task_ids[event.stream]
            if one := begun.get(event.position):
                joined.begin(event, task_id, one, next(numbers))
            elif event.actor != _ACTOR:
                joined.follow_callback(event, task_id)
            joined.forget(event, task_id)
        await joined.keep(connection)
        await decide_and_append(connection, joined.decisions)


class _Beginning(msgspec.Struct, frozen=True):
    """A task to be carried out, and what there is for it."""

    task: Task
    prerequisites: Prerequisites


class _Joined:
    """Which callback carries out which task, and what is to be decided about either."""

    def __init__(self, standing: Mapping[str, int]) -> None:
        self._before = standing
        self._callbacks = dict(standing)
        self.decisions: list[Decision] = []

    def begin(self, event: Recorded[Any], task_id: str, one: _Beginning, number: int) -> None:
        if why := missing_prerequisite(one.task, one.prerequisites):
            self._decide(event, event.stream, fail_task(why))
            return
        self._callbacks[task_id] = number
        scheduled = callback_for(one.task, one.prerequisites, event.recorded_at)
        self._decide(event, callback_stream(number), schedule_callback(scheduled))

    def follow_callback(self, event: Recorded[Any], task_id: str) -> None:
        number = self._callbacks.get(task_id)
        if isinstance(event.fact, _ENDS):
            if number is not None:
                self._decide(event, callback_stream(number), cancel_callback)
        elif (
            number is not None and event.stream == callback_stream(number) and (decided := follow_callback(event.fact))
        ):
            self._decide(event, task_stream(task_id), decided)

    def forget(self, event: Recorded[Any], task_id: str) -> None:
        """Let go of a callback that is over."""
        if not isinstance(event.fact, _LAST_WORDS):
            return
        number = self._callbacks.get(task_id)
        if number is not None and event.stream == callback_stream(number):
            del self._callbacks[task_id]

    async def keep(self, connection: AsyncConnection) -> None:
        """Write down what changed."""
        changed = sorted(pair for pair in self._callbacks.items() if self._before.get(pair[0]) != pair[1])
        if gone := self._before.keys() - self._callbacks.keys():
            await connection.execute(_FORGET, (sorted(gone),))
        if changed:
            await connection.execute(_KEEP, tuple(map(list, zip(*changed, strict=True))))

    def _decide(self, event: Recorded[Any], stream: str, decided: Decide) -> None:
        self.decisions.append(
            Decision(stream=stream, decide=decided, envelope=caused(CarryOutCallbackTasks.name, event))
        )


_ACTOR = actor_of(CarryOutCallbackTasks.name)


def _is_of_task(event: Recorded[Any]) -> bool:
    return event.stream.startswith(TASK_PREFIX)


def _may_concern(event: Recorded[TaskFacts]) -> bool:
    """Return whether the fact of a task may concern a callback: it begins a try, or somebody else ended the task."""
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


async def _standing(connection: AsyncConnection, task_ids: Iterable[str]) -> dict[str, int]:
    return dict(await (await connection.execute(_STANDING, (sorted(set(task_ids)),))).fetchall())


async def _begun(connection: AsyncConnection, events: Iterable[Recorded[Any]]) -> dict[int, _Beginning]:
    """Answer, by the position of the event that asks for it, the tasks that want a callback and whose organisation gives one."""
    asking = [event for event in events if isinstance(event.fact, _BEGINNINGS)]
    streams = await read_streams(connection, (event.stream for event in asking))
    tasks = {event.position: replay_task(streams[event.stream]) for event in asking}
    wanting = {
        event.position: task
        for event in asking
        if (task := tasks[event.position]) and needs_callback(task, _try(event.fact))
    }
    prerequisites = await _means(connection, wanting.values())
    return {
        position: _Beginning(task, given)
        for position, task in wanting.items()
        if (given := prerequisites.get((task.organization_id, task.operator_number)))
    }


def _try(fact: TaskFiled | TaskReprocessed) -> int:
    return fact.attempt if isinstance(fact, TaskReprocessed) else 1


async def _means(connection: AsyncConnection, tasks: Iterable[Task]) -> dict[tuple[int, int], Prerequisites]:
    """Answer, by organisation and operator, what there is to carry out tasks; nothing where no queue is named for it."""
    asked = sorted({(task.organization_id, task.operator_number) for task in tasks})
    if not asked:
        return {}
    cursor = await connection.execute(_MEANS, tuple(map(list, zip(*asked, strict=True))))
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
            has_queue=_is_open(queues[stream], organization_id),
        )
        for organization_id, operator, settings, phone, stream in found
    }


def _is_open(events: Sequence[Recorded[Any]], organization_id: int) -> bool:
    queue = replay_queue(events)
    return queue is not None and queue.organization_id == organization_id and not queue.is_deleted
