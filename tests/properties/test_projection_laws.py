"""Properties of the projections, for random legal histories that are split into random batches."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.model import Recorded
from domain.task.events import TaskFact
from domain.task.task import Task, replay
from infrastructure.operations import rebuild as rebuilding
from infrastructure.operations.rebuild import rebuild
from infrastructure.read_models.registry import PROJECTIONS
from tests.support.histories import task_histories
from tests.support.views import Views, new_task, open_views, row_of

TABLES = [table.name for projection in PROJECTIONS.values() for table in projection.tables]


def ignore(done: int, until: int) -> None:
    """Ignore the progress."""


async def replayed(views: Views) -> dict[str, Task]:
    """Return each task of the log, as the domain replays it."""
    streams: dict[str, list[Recorded[Any]]] = {}
    for event in await views.events("task/"):
        streams.setdefault(event.stream, []).append(event)
    return {task.id: task for events in streams.values() if (task := replay(events))}


async def check(views: Views, histories: list[list[TaskFact]], live: int) -> None:
    """Fold the histories and rebuild; check that all views match the log."""
    await views.record_histories((new_task(), facts) for facts in histories)
    await views.fold_in_batches_of(live)
    tasks = await replayed(views)
    assert await views.listed_rows() == {task_id: row_of(task) for task_id, task in tasks.items()}
    kinds = Counter(
        (task.status, task.task_type, task.priority, who)
        for task in tasks.values()
        for who in {"", task.assigned_user_id or ""}
    )
    counts = await views.rows("SELECT status, task_type, priority, assigned_user_id, count FROM perezvon_1.task_counts")
    assert {tuple(kind): count for *kind, count in counts if count} == kinds
    assert await views.rows("SELECT FROM perezvon_1.parked_streams") == []
    before = [await views.dump(table) for table in TABLES]
    for name in PROJECTIONS:
        report = await rebuild(views.dsn, name, accept=False, progress=ignore)
        assert report.swapped
        assert not report.differs
    assert [await views.dump(table) for table in TABLES] == before


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    histories=st.lists(task_histories(steps=6), min_size=1, max_size=6),
    live=st.integers(1, 9),
    rebuilt=st.integers(1, 9),
)
def test_however_histories_are_cut_into_batches_rows_counts_and_rebuild_say_what_the_log_says(
    database: str, monkeypatch: pytest.MonkeyPatch, histories: list[list[TaskFact]], live: int, rebuilt: int
) -> None:
    async def example() -> None:
        async with open_views(database) as views:
            await check(views, histories, live)

    with monkeypatch.context() as patch:
        patch.setattr(rebuilding, "_BATCH_EVENTS", rebuilt)
        patch.setattr(rebuilding, "_NEAR_EVENTS", rebuilt)
        asyncio.run(example())
