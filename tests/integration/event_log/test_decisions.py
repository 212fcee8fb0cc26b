"""Decisions on streams to which other processes append at the same time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from psycopg import AsyncConnection

from application.policies.decision import Decide, Decision
from application.ports.event_log import Appended
from domain.model import Envelope, Fact, Recorded
from domain.task.events import AppealLinked, TaskCancelled, TaskStarted
from domain.task.task import Status, Task, replay
from infrastructure.event_log import metrics
from infrastructure.event_log.append import Command, append_batch
from infrastructure.event_log.codec import encode
from infrastructure.event_log.decisions import decide_and_append
from infrastructure.postgres.connections import service_dsn
from tests.support.histories import filed
from tests.support.logs import pids_waiting_to_append
from tests.support.policies import history, tags
from tests.support.views import Views, new_task, open_views
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

ENVELOPE = Envelope(organization_id=1, actor="policy/test", causation="1", correlation="request-1")


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


@pytest.fixture
async def streams(views: Views) -> list[str]:
    """Record three tasks and return their streams."""
    names = [f"task/{new_task()}" for _ in range(3)]
    for name in names:
        await views.record(name, filed())
    return names


def task_of(change: Callable[[Task], Sequence[Fact]]) -> Decide:
    """Decide by the present state of the stream's task."""

    def decided(events: Sequence[Recorded[Any]]) -> Sequence[Fact]:
        task = replay(events)
        assert task is not None
        return change(task)

    return decided


started = task_of(lambda task: task.change_status(Status.IN_PROGRESS))
linked = task_of(lambda task: task.link_appeal(f"A-{task.version}"))


def on(stream: str, decided: Decide = started, **more: Any) -> Decision:
    return Decision(stream=stream, decide=decided, envelope=ENVELOPE, **more)


async def decided(views: Views, *decisions: Decision) -> Sequence[Appended | None]:
    async with views.pool.connection() as connection, connection.transaction():
        return await decide_and_append(connection, decisions)


def refused(code: str) -> float:
    return metrics.REFUSED.labels(ENVELOPE.actor, code)._value.get()


async def test_each_decision_is_recorded_under_its_envelope(views: Views, streams: list[str]) -> None:
    outcomes = await decided(views, *(on(stream) for stream in streams))
    assert [outcome and outcome.position for outcome in outcomes] == [4, 5, 6]
    for stream, outcome in zip(streams, outcomes, strict=True):
        assert outcome is not None
        assert [*outcome.events] == [*(await history(views, stream))][1:]
        (event,) = outcome.events
        assert (event.actor, event.causation, event.correlation) == ("policy/test", "1", "request-1")


async def test_decisions_are_rolled_back_with_the_transaction(views: Views, streams: list[str]) -> None:
    async with views.pool.connection() as connection, connection.transaction(force_rollback=True):
        await decide_and_append(connection, [on(streams[0])])
    assert await tags(views, streams[0]) == ["filed"]


async def test_decisions_on_one_stream_build_on_each_other(views: Views, streams: list[str]) -> None:
    first, second, _ = streams
    outcomes = await decided(views, on(first, linked), on(second), on(first, linked), on(first, linked))
    assert [outcome and outcome.position for outcome in outcomes] == [4, 5, 6, 7]
    appeals = [event.fact.appeal_id for event in (await history(views, first))[1:]]
    assert appeals == ["A-1", "A-2", "A-3"]


async def test_a_refused_decision_is_counted_and_affects_no_other(views: Views, streams: list[str]) -> None:
    before = refused("illegal_transition")
    await views.record(streams[1], TaskCancelled(), version=1)
    outcomes = await decided(views, *(on(stream) for stream in streams))
    assert [outcome is not None for outcome in outcomes] == [True, False, True]
    assert refused("illegal_transition") - before == 1


async def test_nothing_to_decide_does_not_take_the_logs_lock(views: Views, streams: list[str]) -> None:
    async with views.pool.connection() as connection, connection.transaction():
        assert await decide_and_append(connection, [on(streams[0], lambda _: [])]) == [None]
        await asyncio.wait_for(views.record(streams[0], TaskStarted(), version=1), 10)


async def test_a_conflicting_decision_is_made_again(views: Views, streams: list[str]) -> None:
    cancelled, started_too, untouched = streams
    before = refused("illegal_transition")
    async with competing_append(
        views, (cancelled, TaskCancelled()), (started_too, AppealLinked(appeal_id="A-9"))
    ) as other:
        deciding = asyncio.create_task(decided(views, *(on(stream) for stream in streams)))
        await eventually_async(lambda: a_process_waits(views))
        await other.commit()
        outcomes = await deciding
    assert [outcome is not None for outcome in outcomes] == [False, True, True]
    assert await tags(views, cancelled) == ["filed", "cancelled"]
    assert await tags(views, started_too) == ["filed", "appeal_linked", "started"]
    assert await tags(views, untouched) == ["filed", "started"]
    assert refused("illegal_transition") - before == 1


async def test_a_conflict_on_the_first_of_two_decisions_repeats_both(views: Views, streams: list[str]) -> None:
    async with competing_append(views, (streams[0], TaskStarted())) as other:
        deciding = asyncio.create_task(decided(views, on(streams[0], linked), on(streams[1]), on(streams[0], linked)))
        await eventually_async(lambda: a_process_waits(views))
        await other.commit()
        outcomes = await deciding
    assert [outcome and outcome.position for outcome in outcomes] == [6, 5, 7]
    assert [event.fact.appeal_id for event in (await history(views, streams[0]))[2:]] == ["A-2", "A-3"]


async def test_after_a_decision_no_other_process_appends_before_the_transaction_ends(
    views: Views, streams: list[str]
) -> None:
    async with views.pool.connection() as connection:
        async with connection.transaction():
            await decide_and_append(connection, [on(streams[0])])
            other = asyncio.create_task(views.record(streams[0], TaskStarted(), version=2))
            await eventually_async(lambda: a_process_waits(views))
            await decide_and_append(connection, [on(streams[1])])
        assert await other == 6


async def test_a_stream_that_is_known_is_not_read_unless_it_is_old(views: Views, streams: list[str]) -> None:
    known = [await history(views, stream) for stream in streams]
    await views.record(streams[1], AppealLinked(appeal_id="A-9"), version=1)
    outcomes = await decided(views, *(on(stream, known=facts) for stream, facts in zip(streams, known, strict=True)))
    assert [outcome and outcome.events[0].version for outcome in outcomes] == [2, 3, 2]


async def test_decisions_are_durable_though_the_transaction_need_not_be(views: Views, streams: list[str]) -> None:
    async with views.pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = off")
        await decide_and_append(connection, [on(streams[0])])
        assert await (await connection.execute("SHOW synchronous_commit")).fetchone() == ("on",)


@asynccontextmanager
async def competing_append(views: Views, *changes: tuple[str, Fact]) -> AsyncGenerator[AsyncConnection]:
    """Append to streams that have one fact, in a transaction that holds the log's lock while the context lasts."""
    async with await AsyncConnection.connect(service_dsn(views.dsn)) as connection:
        commands = [
            Command(stream=stream, version=1, facts=[fact], states=[encode(fact)], envelope=ENVELOPE)
            for stream, fact in changes
        ]
        assert {verdict for verdict, *_ in await append_batch(connection, commands)} == {"appended"}
        yield connection


async def a_process_waits(views: Views) -> bool:
    return bool(await asyncio.to_thread(pids_waiting_to_append, views.dsn))
