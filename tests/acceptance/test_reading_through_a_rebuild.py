"""Lists are read during rebuilds, under traffic: no error, no short page, no wrong total."""

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import accumulate, count

import pytest

from application.ports.operations import RebuildReport
from application.queries.task_list import TaskListFilter, TaskPage
from domain.task.events import TaskCancelled, TaskCompleted, TaskFact, TaskStarted
from domain.task.task import Status
from infrastructure.operations import rebuild as rebuilding
from infrastructure.operations.rebuild import rebuild
from infrastructure.postgres.connections import service_dsn
from tests.support.histories import filed
from tests.support.views import Views, new_task, open_views
from tests.support.waiting import eventually_async
from tests.support.worker_parts import project

pytestmark = pytest.mark.anyio

PER_PAGE = 50
TASKS_AT_ONCE = 5
READERS = {
    "all": TaskListFilter(include_cancelled=True),
    "not cancelled": TaskListFilter(),
    "completed": TaskListFilter(status=Status.COMPLETED),
    "assigned": TaskListFilter(assigned_user_id="m1"),
    "search": TaskListFilter(search="заказ"),
}
# The change of the visible total by each fact.
CHANGES: dict[str, dict[str, int]] = {
    "all": {"task.filed.v1": 1},
    "completed": {"task.completed.v1": 1},
    **{name: {"task.filed.v1": 1, "task.cancelled.v1": -1} for name in ("not cancelled", "assigned", "search")},
}
HISTORIES: list[list[TaskFact]] = [[TaskStarted(), TaskCompleted()], [TaskCancelled()], [TaskStarted()], []]


@pytest.fixture
async def views(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Views]:
    monkeypatch.setattr(rebuilding, "_BATCH_EVENTS", 100)
    monkeypatch.setattr(rebuilding, "_NEAR_EVENTS", 100)
    async with open_views(database) as opened:
        await traffic(opened, rounds=100)
        yield opened


async def traffic(views: Views, *, rounds: int | None = None, stop: asyncio.Event | None = None) -> None:
    """File and change tasks, a few in each call of ``append_batch``."""
    chance = random.Random(11)
    for number in count():
        if number == rounds or (stop and stop.is_set()):
            return
        histories = [[filed("Заказ", assigned_user_id="m1"), *chance.choice(HISTORIES)] for _ in range(TASKS_AT_ONCE)]
        await views.record_histories((new_task(), facts) for facts in histories)


async def read(views: Views, name: str, stop: asyncio.Event) -> list[TaskPage]:
    """Read the first page and a later one repeatedly; every page must have the length that its total implies."""
    pages: list[TaskPage] = []
    while not stop.is_set():
        number = 1 if len(pages) % 2 else 3
        page = await views.task_list.page(1, READERS[name], page=number, per_page=PER_PAGE)
        assert len(page.items) == max(0, min(PER_PAGE, page.total - (number - 1) * PER_PAGE))
        assert page.total_is_exact, "or the traffic was too much for this test"
        pages.append(page)
    return pages


async def again(views: Views, name: str) -> RebuildReport:
    """Rebuild the view, and wait until it shows more of the traffic."""
    report = await rebuild(views.dsn, name, accept=False, progress=lambda _done, _until: None)

    async def has_moved() -> bool:
        ((position,),) = await views.rows("SELECT position FROM perezvon_1.checkpoints WHERE name = %s", name)
        return position > report.position

    await eventually_async(has_moved)
    return report


async def test_a_list_is_whole_and_its_total_right_at_every_moment_of_a_rebuild(views: Views) -> None:
    stop = asyncio.Event()
    async with open_views(views.dsn) as others, asyncio.TaskGroup() as group:
        group.create_task(project(service_dsn(views.dsn), stop))
        reading = {name: group.create_task(read(others, name, stop)) for name in READERS}
        group.create_task(traffic(views, stop=stop))
        try:
            reports = [await again(views, name) for name in ("task_list", "audit_trail", "task_list")]
        finally:
            stop.set()  # before Python 3.12 a busy task can miss its cancellation
    assert [(report.swapped, report.differs) for report in reports] == [(True, False)] * 3
    assert reports[-1].position > reports[0].position, "there was traffic"
    tags = [tag for (tag,) in await views.rows("SELECT topic FROM perezvon_1.stored_events ORDER BY notification_id")]
    for name, task in reading.items():
        totals = list(accumulate((CHANGES[name].get(tag, 0) for tag in tags), initial=0))
        pages = task.result()
        assert [page.position for page in pages] == sorted(page.position for page in pages)
        assert len({page.position for page in pages}) > 1
        assert [page.total for page in pages] == [totals[page.position] for page in pages]
