"""Queues, callbacks and tasks on record, for policies to react to; and what came of it."""

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
    """A queue's or callback's number that was not there before."""
    return next(_numbers) * 64 + 1


async def open_queue(views: Views, *, organization_id: int = 1, **fields: Any) -> int:
    """Put a queue on record that is on, for one callback at a time, unless fields say otherwise."""
    queue_id = new_number()
    created = queue_created(**fields)
    await views.record(queue_stream(queue_id), created, organization_id=organization_id)
    return queue_id


async def schedule(views: Views, queue_id: int, *facts: CallbackFact, request: str = "request-0", **fields: Any) -> int:
    """Put a callback on record, which a request asked for, and what happened to it."""
    callback_id, facts = new_number(), (scheduled(queue_id=queue_id, **fields), *facts)
    await views.record(callback_stream(callback_id), *facts, causation=request, correlation=request)
    return callback_id


def failed_attempt(number: int = 1) -> list[CallbackFact]:
    """An attempt to which the line was busy."""
    return [AttemptStarted(attempt=number, call_id=call_id_of(number)), AttemptFailed(attempt=number, end=BUSY)]


async def go_on(views: Views, stream: str, *facts: Fact, **more: Any) -> int:
    """Record facts at the end of a stream; answer the log's position."""
    version = len(await history(views, stream))
    return await views.record(stream, *facts, version=version, **more)


async def react(views: Views, *names: str) -> None:
    """Let these policies, or all of them, react until nobody has anything more to say."""
    reached = -1
    while reached != (reached := await head(views)):
        await views.catch_up(*(names or POLICIES))


async def head(views: Views) -> int:
    """The position of the last event."""
    ((position,),) = await views.rows("SELECT coalesce(max(notification_id), 0) FROM perezvon_1.stored_events")
    return position


async def history(views: Views, stream: str) -> Sequence[Recorded[Any]]:
    """What is on record in a stream."""
    return (await read_streams(views.owner, [stream]))[stream]


async def tags(views: Views, stream: str) -> list[str]:
    """The last words of the tags of a stream."""
    return [tag_of(event.fact).split(".")[1] for event in await history(views, stream)]


@asynccontextmanager
async def heard(views: Views, channel: str) -> AsyncGenerator[Callable[[], Awaitable[int]]]:
    """Listen while the context lasts; what it yields answers how often the channel was notified by then."""
    async with await AsyncConnection.connect(views.dsn, autocommit=True) as connection:
        await connection.execute(f"LISTEN {channel}".encode())
        told = 0

        async def count_told() -> int:
            nonlocal told
            await views.do("SELECT pg_notify(%s, 'the last one')", channel)
            async for notice in connection.notifies():
                if notice.payload:
                    break
                told += 1
            return told

        yield count_told


async def timetable(views: Views) -> dict[int, tuple[Any, ...]]:
    """What waits: queue, organisation, when it is due and because of which event, by callback."""
    rows = await views.rows("SELECT callback_id, queue_id, organization_id, due_at, position FROM perezvon_1.timetable")
    return {row[0]: row[1:] for row in rows}


async def organization(views: Views, number: int = 1, *, phone: str | None = OPERATOR, **settings: Any) -> None:
    """Make an organisation, with an operator 1 whose line has that number."""
    text = msgspec.json.encode(Settings(**settings)).decode()
    await views.do("INSERT INTO perezvon_1.organizations VALUES (%s, 'Справка', %s, now())", number, text)
    await views.do(
        "INSERT INTO perezvon_1.operators (organization_id, number, name, phone) VALUES (%s, 1, 'L', %s)", number, phone
    )


async def file_callback_task(views: Views, **fields: Any) -> str:
    """File a task of type callback with a caller's number; answer its id."""
    task_id = new_task()
    wanted: dict[str, Any] = {"task_type": TaskType.CALLBACK, "caller_phone": CALLER} | fields
    await views.record(
        task_stream(task_id), filed(**wanted), actor="operator/1", causation="request-1", correlation="request-1"
    )
    return task_id


async def callback_of(views: Views, task_id: str) -> int | None:
    """The callback that carries out a task at present."""
    rows = await views.rows("SELECT callback_id FROM perezvon_1.task_callbacks WHERE task_id = %s", task_id)
    return rows[0][0] if rows else None
