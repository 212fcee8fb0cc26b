"""The runner: a batch and its checkpoint are one transaction; failing streams are parked; no event is lost or handled twice."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from application.ports.operations import StillParked
from application.queries.task_list import TaskListFilter
from domain.task.events import AppealLinked, TaskCompleted, TaskStarted
from infrastructure.event_log.codec import encode
from infrastructure.event_log.identity import read_identity
from infrastructure.event_log.reader import BATCH_BYTES, BatchReader
from infrastructure.event_log.upcasters import UPCASTERS
from infrastructure.operations.retry_parked import retry_parked
from infrastructure.postgres.connections import service_dsn
from infrastructure.read_models.registry import PROJECTIONS
from infrastructure.read_models.task_list.projection import TaskListProjection
from infrastructure.subscriptions import metrics
from infrastructure.subscriptions.runner import Runner
from tests.support.histories import filed
from tests.support.views import Views, new_task, open_views
from tests.support.waiting import eventually_async
from tests.support.worker_parts import project

pytestmark = pytest.mark.anyio

ALL = TaskListFilter(include_cancelled=True)
Spoil = Callable[[Views, str, int], Awaitable[None]]


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


async def listed(views: Views) -> list[tuple[str, str]]:
    page = await views.task_list.page(1, ALL, page=1, per_page=100)
    return sorted((row.title, row.status) for row in page.items)


async def parked(views: Views) -> list[tuple[Any, ...]]:
    return await views.rows("SELECT name, stream, version FROM perezvon_1.parked_streams ORDER BY name, stream")


async def trail(views: Views) -> list[int]:
    return [position for (position,) in await views.rows("SELECT position FROM perezvon_1.audit_trail ORDER BY 1")]


async def test_a_batch_and_its_checkpoint_are_one_transaction(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    await views.record(f"task/{new_task()}", filed("A"))
    apply = TaskListProjection.handle

    async def die_afterwards(self: Any, connection: AsyncConnection, events: Any, suffix: str = "") -> None:
        await apply(self, connection, events, suffix)
        await views.do("SELECT pg_terminate_backend(%s)", connection.info.backend_pid)
        await connection.execute("SELECT 1")

    monkeypatch.setattr(TaskListProjection, "handle", die_afterwards)
    with pytest.raises(StorageUnavailable):
        await views.runner("task_list").step()
    assert await listed(views) == []
    assert await views.positions.position("task_list") == 0
    monkeypatch.undo()
    assert await views.runner("task_list").step() == 1
    assert await listed(views) == [("A", "pending")]
    assert await views.positions.position("task_list") == 1
    assert await parked(views) == []


async def test_while_another_leads_a_runner_does_nothing(views: Views) -> None:
    await views.record(f"task/{new_task()}", filed("A"))
    await views.catch_up()
    await views.record(f"task/{new_task()}", filed("B"))
    async with views.owner.transaction():
        await views.do("SELECT FROM perezvon_1.checkpoints WHERE name = 'task_list' FOR UPDATE")
        assert await views.runner("task_list").step() == 0
        assert await views.runner("audit_trail").step() == 1
    assert await views.runner("task_list").step() == 1


async def test_of_runners_at_once_each_event_is_folded_once(views: Views) -> None:
    for _ in range(6):
        await views.record_histories((new_task(), [filed("A"), TaskStarted(), TaskCompleted()]) for _ in range(200))
    running = [(name, views.runner(name)) for name in PROJECTIONS for _ in range(2)]

    async def work(name: str, runner: Runner) -> int:
        done = 0
        while await views.positions.position(name) < 3600:
            done += await runner.step()
        return done

    done = await asyncio.gather(*(work(*one) for one in running))
    assert sum(done) == 3600 * len(PROJECTIONS)
    assert await trail(views) == list(range(1, 3601))
    counts = "SELECT status, sum(count) FROM perezvon_1.task_counts WHERE count <> 0 GROUP BY status"
    assert await views.rows(counts) == [("completed", 1200)]
    assert await parked(views) == []


async def test_a_batch_is_bounded_by_bytes(views: Views) -> None:
    heavy = filed("heavy", call_transcription="я" * (BATCH_BYTES // 3))
    for _ in range(3):
        await views.record(f"task/{new_task()}", heavy)
    reader = BatchReader("", await read_identity(views.owner))
    assert [await count(reader, views, after) for after in (0, 2, 3)] == [2, 1, None]


async def count(reader: BatchReader, views: Views, after: int) -> int | None:
    batch = await reader.after(views.owner, after)
    return batch.count if batch else None


async def test_a_single_event_larger_than_a_batch_is_a_batch(views: Views) -> None:
    await views.record(f"task/{new_task()}", filed("heavy", call_transcription="я" * BATCH_BYTES))
    await views.catch_up()
    assert await listed(views) == [("heavy", "pending")]


def spoilt(topic: str, state: bytes) -> Spoil:
    async def record(views: Views, stream: str, version: int) -> None:
        await views.record_raw(stream, version, topic, state)

    return record


SPOILT = {
    "an unknown tag": (spoilt("task.exploded.v1", b"{}"), "UnknownFact"),
    "no JSON": (spoilt("task.started.v1", b"\xff"), "UnknownFact"),
    "another fact than the tag says": (spoilt("task.reprocessed.v1", b'{"attempt": "x"}'), "UnknownFact"),
    "a value that Postgres refuses": (
        spoilt("task.appeal_linked.v1", b'{"type": "task.appeal_linked.v1", "appeal_id": "a\\u0000"}'),
        "UntranslatableCharacter",
    ),
    "a value too long for an index": (
        spoilt(
            "task.filed.v1", encode(filed("A", caller_phone="".join(random.Random(3).choices("0123456789", k=9000))))
        ),
        "ProgramLimitExceeded",
    ),
}


@pytest.mark.parametrize("kind", SPOILT)
async def test_an_event_that_cannot_be_handled_parks_its_own_stream_only(views: Views, kind: str) -> None:
    spoil, error = SPOILT[kind]
    bad, good = new_task(), [new_task() for _ in range(20)]
    await views.record_histories((task_id, [filed("good")]) for task_id in good[:10])
    first = 0 if "index" in kind else 1
    if first:
        await views.record(f"task/{bad}", filed("bad"))
    await spoil(views, f"task/{bad}", first + 1)
    await views.record(f"task/{bad}", TaskStarted(), version=first + 1)
    await views.record_histories((task_id, [filed("good")]) for task_id in good[10:])
    await views.catch_up("task_list")
    position = await views.record(f"task/{bad}", TaskCompleted(), version=first + 2)
    await views.catch_up("task_list")
    assert await listed(views) == [("bad", "pending")] * first + [("good", "pending")] * 20
    assert await parked(views) == [("task_list", f"task/{bad}", first + 1)]
    ((text,),) = await views.rows("SELECT error FROM perezvon_1.parked_streams")
    assert text.startswith(error)
    assert await views.positions.position("task_list") == position
    assert (
        len(await views.rows("SELECT FROM perezvon_1.stored_events WHERE originator_id = %s", f"task/{bad}"))
        == first + 3
    )


async def test_a_fact_that_the_projection_refuses_is_parked(views: Views) -> None:
    await views.record("task/headless", TaskStarted())
    await views.record(f"task/{new_task()}", filed("good"))
    await views.catch_up()
    assert await parked(views) == [("task_list", "task/headless", 1)]
    assert await trail(views) == [1, 2]
    assert await listed(views) == [("good", "pending")]


@pytest.fixture
async def exploded(views: Views) -> str:
    """Yield the stream of a parked task: filed, then an unknown event, then completed."""
    task_id = new_task()
    await views.record(f"task/{task_id}", filed("bad"))
    await views.record_raw(f"task/{task_id}", 2, "task.exploded.v1", b"{}")
    await views.record(f"task/{task_id}", TaskCompleted(), version=2)
    await views.catch_up()
    return f"task/{task_id}"


def explain_explosion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the fix: the unknown fact means that a member started the work."""
    monkeypatch.setitem(UPCASTERS, "task.exploded.v1", lambda _: ("task.started.v1", encode(TaskStarted())))


async def test_after_a_fix_a_parked_stream_is_brought_in_in_order(
    views: Views, exploded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain_explosion(monkeypatch)
    await views.record(exploded, AppealLinked(appeal_id="not folded yet"), version=3)
    for name in ("task_list", "audit_trail"):
        report = await retry_parked(service_dsn(views.dsn), name)
        assert (report.brought_in, report.still_parked) == ([exploded], [])
    assert await parked(views) == []
    assert await listed(views) == [("bad", "completed")]
    await views.catch_up()
    (row,) = (await views.task_list.page(1, ALL, page=1, per_page=1)).items
    assert (row.version, row.status, row.appeal_id) == (4, "completed", "not folded yet")
    assert await trail(views) == [1, 2, 3, 4]


async def test_without_a_fix_a_parked_stream_stays_parked(views: Views, exploded: str) -> None:
    report = await retry_parked(service_dsn(views.dsn), "task_list")
    assert report.brought_in == []
    assert report.still_parked == [StillParked(exploded, "UnknownFact: Unknown tag 'task.exploded.v1'")]
    assert ("task_list", exploded, 2) in await parked(views)
    assert await listed(views) == [("bad", "pending")]


async def test_a_fix_that_reaches_further_parks_further_on(
    views: Views, exploded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await views.record_raw(exploded, 4, "task.imploded.v1", b"{}")
    await views.catch_up()
    explain_explosion(monkeypatch)
    report = await retry_parked(service_dsn(views.dsn), "task_list")
    assert report.still_parked == [StillParked(exploded, "UnknownFact: Unknown tag 'task.imploded.v1'")]
    assert ("task_list", exploded, 4) in await parked(views)
    assert await listed(views) == [("bad", "completed")]


async def test_a_parked_stream_longer_than_a_batch_is_brought_in_whole(
    views: Views, exploded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain_explosion(monkeypatch)
    for version in range(3, 7):
        await views.record(exploded, AppealLinked(appeal_id=f"{version}" * BATCH_BYTES), version=version)
    await views.catch_up()
    assert (await retry_parked(service_dsn(views.dsn), "task_list")).brought_in == [exploded]
    assert await views.rows("SELECT version, left(appeal_id, 1) FROM perezvon_1.task_list") == [(7, "6")]


async def test_one_parked_stream_can_be_retried_alone(
    views: Views, exploded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain_explosion(monkeypatch)
    await views.record("task/headless", TaskStarted())
    await views.catch_up()
    assert (await retry_parked(service_dsn(views.dsn), "task_list", "task/unheard-of")).brought_in == []
    assert (await retry_parked(service_dsn(views.dsn), "task_list", exploded)).brought_in == [exploded]
    assert ("task_list", "task/headless", 1) in await parked(views)


@pytest.mark.parametrize(
    ("trouble", "raised"),
    [
        (psycopg.errors.DeadlockDetected, StorageUnavailable),
        (psycopg.errors.DiskFull, StorageUnavailable),
        (psycopg.errors.QueryCanceled, StorageUnavailable),
        (psycopg.errors.UndefinedTable, StorageUnavailable),
        (psycopg.errors.SyntaxError, psycopg.errors.SyntaxError),
    ],
)
async def test_trouble_of_postgres_parks_nobody(
    views: Views, monkeypatch: pytest.MonkeyPatch, trouble: type[psycopg.Error], raised: type[Exception]
) -> None:
    async def fail(*_: Any) -> None:
        raise trouble

    await views.record(f"task/{new_task()}", filed("A"))
    monkeypatch.setattr(TaskListProjection, "handle", fail)
    with pytest.raises(raised):
        await views.runner("task_list").step()
    monkeypatch.undo()
    assert await parked(views) == []
    await views.catch_up()
    assert await listed(views) == [("A", "pending")]


async def test_the_worker_keeps_all_views_up_and_survives_the_loss_of_all_its_connections(views: Views) -> None:
    stop = asyncio.Event()
    working = asyncio.create_task(project(service_dsn(views.dsn), stop))
    for round_ in range(1, 4):
        await views.record(f"task/{new_task()}", filed("A"))
        await eventually_async(lambda reached=round_: reached_everywhere(views, reached))
        await views.do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name IN ('perezvon background', 'perezvon listener')"
        )
    stop.set()
    await working
    assert await trail(views) == [1, 2, 3]
    assert await listed(views) == [("A", "pending")] * 3


async def reached_everywhere(views: Views, position: int) -> bool:
    return {lag.position for lag in await views.positions.lags()} == {position}


async def test_a_runner_that_nobody_wakes_polls(views: Views) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(views.runner("task_list").run(stop))
    for number in (1, 2):
        await views.record(f"task/{new_task()}", filed("A"))
        assert await views.positions.wait_for("task_list", number, 10)
    stop.set()
    await running


async def test_what_is_folded_is_counted(views: Views) -> None:
    def folded() -> float:
        return metrics.EVENTS.labels("task_list")._value.get()

    before = folded()
    await views.record(f"task/{new_task()}", filed("A"), TaskStarted())
    await views.catch_up("task_list")
    assert folded() - before == 2
