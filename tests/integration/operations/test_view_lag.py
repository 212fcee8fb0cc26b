"""Positions and lag of views, and waits for a view to catch up."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY

from application.errors import StorageUnavailable
from application.queries.view_lag import Lag
from domain.task.events import TaskStarted
from infrastructure.operations.subscribers import HANDLERS
from infrastructure.operations.view_lag import PostgresViewLag
from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.read_models.task_list.projection import TaskListProjection
from infrastructure.subscriptions import metrics
from infrastructure.subscriptions.handler import VIEW_TUNING
from tests.support.histories import filed
from tests.support.views import Views, new_task, open_views
from tests.support.worker_parts import project

pytestmark = pytest.mark.anyio


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


async def test_a_view_that_has_not_begun_lags_by_the_whole_log(views: Views) -> None:
    await views.record(f"task/{new_task()}", filed("A"), TaskStarted())
    assert await views.positions.position("task_list") == 0
    lags = {lag.name: lag for lag in await views.positions.lags()}
    assert lags.keys() == set(HANDLERS)
    assert (lags["task_list"].position, lags["task_list"].events) == (0, 2)
    ((age,),) = await views.rows(
        "SELECT extract(epoch FROM clock_timestamp() - recorded_at)::float8 FROM perezvon_1.stored_events LIMIT 1"
    )
    assert 0 < lags["task_list"].seconds <= age


async def test_a_view_that_is_up_does_not_lag(views: Views) -> None:
    assert {(lag.events, lag.seconds) for lag in await views.positions.lags()} == {(0, 0)}
    position = await views.record(f"task/{new_task()}", filed("A"))
    await views.catch_up(*HANDLERS)
    expected = [Lag(name=name, position=position, events=0, seconds=0, parked=0) for name in sorted(HANDLERS)]
    assert await views.positions.lags() == expected


async def test_parked_streams_are_counted(views: Views) -> None:
    for name in ("task/x", "task/y"):
        await views.record(name, TaskStarted())
    await views.catch_up()
    lags = await views.positions.lags()
    assert {lag.name: lag.parked for lag in lags if lag.parked} == {"task_list": 2}
    for lag in lags:
        metrics.show(lag)
    shown = REGISTRY.get_sample_value("perezvon_handler_parked_streams", {"handler": "task_list"})
    assert shown == 2


async def test_all_who_wait_hear_as_soon_as_their_view_is_there(views: Views) -> None:
    waiting = [asyncio.create_task(views.positions.wait_for("task_list", position, 10)) for position in (1, 2, 2)]
    other = asyncio.create_task(views.positions.wait_for("audit_trail", 1, 10))
    await views.record(f"task/{new_task()}", filed("A"))
    await views.catch_up("task_list")
    assert await waiting[0] is True
    assert not any(task.done() for task in [*waiting[1:], other])
    await views.record(f"task/{new_task()}", filed("B"))
    await views.catch_up()
    assert await asyncio.gather(*waiting, other) == [True] * 4


async def test_who_waits_in_vain_is_told_so_and_nothing_is_asked_any_more(views: Views) -> None:
    assert await views.positions.wait_for("task_list", 1, 0.05) is False
    poll = views.positions._poll
    if poll is not None:
        await poll
    assert views.positions._poll is None


async def test_one_query_serves_all_who_wait(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = PostgresViewLag._check

    async def counted(self: PostgresViewLag) -> None:
        nonlocal looks
        looks += 1
        await look(self)

    monkeypatch.setattr(PostgresViewLag, "_check", counted)
    await views.record(f"task/{new_task()}", filed("A"))
    await views.catch_up()
    assert all(await asyncio.gather(*(views.positions.wait_for("task_list", 1, 10) for _ in range(50))))
    assert looks == 1


async def test_when_the_database_is_lost_who_waits_is_told_so(views: Views) -> None:
    pool = Pool(service_dsn(views.dsn), size=1, name="doomed")
    waiting = asyncio.create_task(PostgresViewLag(pool).wait_for("task_list", 1, 10))
    try:
        while not waiting.done():
            with psycopg.connect(views.dsn, autocommit=True) as owner:
                owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'perezvon doomed'"
                )
            await asyncio.wait([waiting], timeout=0.01)
        with pytest.raises(StorageUnavailable):
            await waiting
    finally:
        await pool.close()


async def test_a_view_that_rests_is_roused_when_somebody_waits_for_it(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaskListProjection, "tuning", replace(VIEW_TUNING, rest_s=3600.0))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(project(service_dsn(views.dsn), stop))
        for title in ("A", "B"):  # it rests after the first
            position = await views.record(f"task/{new_task()}", filed(title))
            assert await views.positions.wait_for("task_list", position, timeout_s=30)
        stop.set()
