"""Helpers for tests of policies: recorded queues, callbacks and tasks, and the results of policies."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
from psycopg import AsyncConnection

from domain.callback.events import AttemptFailed, AttemptStarted, CallbackFact
from domain.model import Fact, Recorded, tag_of
from domain.organization.events import Settings
from domain.streams import callback_stream, queue_stream, task_stream
from domain.task.events import TaskType
from infrastructure.event_log.decisions import read_streams
from infrastructure.policies.registry import POLICIES
from tests.support.histories import BUSY, call_id_of, filed, queue_created, scheduled
from tests.support.views import Views, new_task

OPERATOR, CALLER = "+77010001001", "+77010001002"

_numbers = count(1)


def new_number() -> int:
    """Return a new id of a queue or callback."""
    return next(_numbers) * 64 + 1


async def open_queue(views: Views, *, organization_id: int = 1, **fields: Any) -> int:
    """Record a queue that is on, for one callback at a time, unless the fields differ."""
    queue_id = new_number()
    created = queue_created(**fields)
    await views.record(queue_stream(queue_id), created, organization_id=organization_id)
    return queue_id


async def schedule(views: Views, queue_id: int, *facts: CallbackFact, request: str = "request-0", **fields: Any) -> int:
    """Record a callback, caused by a request, and further facts of it."""
    callback_id, facts = new_number(), (scheduled(queue_id=queue_id, **fields), *facts)
    await views.record(callback_stream(callback_id), *facts, causation=request, correlation=request)
    return callback_id


def failed_attempt(number: int = 1) -> list[CallbackFact]:
    """Return the facts of an attempt that failed because the line was busy."""
    return [AttemptStarted(attempt=number, call_id=call_id_of(number)), AttemptFailed(attempt=number, end=BUSY)]


async def go_on(views: Views, stream: str, *facts: Fact, **more: Any) -> int:
    """Record facts at the end of a stream; return the log's position."""
    version = len(await history(views, stream))
    return await views.record(stream, *facts, version=version, **more)


async def react(views: Views, *names: str) -> None:
    """Run these policies, or all of them, until none of them appends any more."""
    reached = -1
    while reached != (reached := await head(views)):
        await views.catch_up(*(names or POLICIES))


async def head(views: Views) -> int:
    """Return the position of the last event."""
    ((position,),) = await views.rows("SELECT coalesce(max(notification_id), 0) FROM perezvon_1.stored_events")
    return position


async def history(views: Views, stream: str) -> Sequence[Recorded[Any]]:
    """Return the events of a stream."""
    return (await read_streams(views.owner, [stream]))[stream]


async def tags(views: Views, stream: str) -> list[str]:
    """Return the names in the tags of a stream's facts, such as ``delayed``."""
    return [tag_of(event.fact).split(".")[1] for event in await history(views, stream)]


@asynccontextmanager
async def counted_notifications(views: Views, channel: str) -> AsyncGenerator[Callable[[], Awaitable[int]]]:
    """Listen to a channel while the context lasts; yield a function that returns the count of notifications so far."""
    async with await AsyncConnection.connect(views.dsn, autocommit=True) as connection:
        await connection.execute(f"LISTEN {channel}".encode())
        told = 0

        async def count_told() -> int:
            nonlocal told
            await views.do("SELECT pg_notify(%s, 'end')", channel)
            async for notice in connection.notifies():
                if notice.payload == "end":
                    break
                told += 1
            return told

        yield count_told


async def timetable(views: Views) -> dict[int, tuple[Any, ...]]:
    """Return the timetable by callback: queue, organisation, due time, and position of the event that caused the entry."""
    rows = await views.rows("SELECT callback_id, queue_id, organization_id, due_at, position FROM perezvon_1.timetable")
    return {row[0]: row[1:] for row in rows}


async def organization(views: Views, number: int = 1, *, phone: str | None = OPERATOR, **settings: Any) -> None:
    """Create an organisation, with an operator 1 whose line has that number."""
    text = msgspec.json.encode(Settings(**settings)).decode()
    await views.do("INSERT INTO perezvon_1.organizations VALUES (%s, 'Справка', %s, now())", number, text)
    await views.do(
        "INSERT INTO perezvon_1.operators (organization_id, number, name, phone) VALUES (%s, 1, 'L', %s)", number, phone
    )


async def file_callback_task(views: Views, **fields: Any) -> str:
    """File a task of type callback with a caller's number; return its id."""
    task_id = new_task()
    wanted: dict[str, Any] = {"task_type": TaskType.CALLBACK, "caller_phone": CALLER} | fields
    await views.record(
        task_stream(task_id), filed(**wanted), actor="operator/1", causation="request-1", correlation="request-1"
    )
    return task_id


async def callback_of(views: Views, task_id: str) -> int | None:
    """Return the id of the callback that carries out a task at present."""
    rows = await views.rows("SELECT callback_id FROM perezvon_1.task_callbacks WHERE task_id = %s", task_id)
    return rows[0][0] if rows else None
