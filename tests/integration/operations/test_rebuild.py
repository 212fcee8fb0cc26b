"""`rebuild`: the result equals the live view, differences prevent the swap, and a rebuild that was stopped starts again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from application.errors import StorageNeedsAttention, StorageUnavailable
from application.ports.operations import Difference, RebuildReport, RebuildUnderWay
from application.queries.task_list import TaskListFilter
from domain.task.events import TaskCompleted, TaskStarted
from infrastructure.event_log.codec import encode
from infrastructure.event_log.upcasters import UPCASTERS
from infrastructure.operations import rebuild as rebuilding
from infrastructure.operations.rebuild import REBUILDABLE, rebuild
from infrastructure.postgres.connections import service_dsn
from infrastructure.read_models.registry import PROJECTIONS
from tests.support.histories import filed
from tests.support.views import Views, new_task, open_views
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

ALL = TaskListFilter(include_cancelled=True)
TABLES = [table.name for projection in PROJECTIONS.values() for table in projection.tables]


@pytest.fixture
async def views(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Views]:
    """Yield views of forty tasks in three statuses; a rebuild of them takes several batches."""
    monkeypatch.setattr(rebuilding, "_BATCH_EVENTS", 10)
    monkeypatch.setattr(rebuilding, "_NEAR_EVENTS", 10)
    async with open_views(database) as opened:
        await opened.record_histories(
            (
                new_task(),
                [filed(f"Заказ {number}", assigned_user_id="m1"), TaskStarted(), TaskCompleted()][: 1 + number % 3],
            )
            for number in range(40)
        )
        await opened.catch_up()
        yield opened


def ignore(done: int, until: int) -> None:
    """Ignore the progress."""


async def again(views: Views, name: str = "task_list", *, accept: bool = False) -> RebuildReport:
    return await rebuild(views.dsn, name, accept=accept, progress=ignore)


async def catalogue(views: Views) -> list[tuple[Any, ...]]:
    """Return tables and indexes from the catalogue of Postgres: names, definitions, options and privileges."""
    return await views.rows(
        "SELECT c.relname, c.reloptions, ARRAY(SELECT unnest(c.relacl)::text ORDER BY 1), i.indisvalid, pg_get_indexdef(i.indexrelid) FROM pg_class AS c"
        " LEFT JOIN pg_index AS i ON i.indexrelid = c.oid WHERE c.relnamespace = 'perezvon_1'::regnamespace"
        " AND c.relname ~ '^(task|audit)_' AND c.relname !~ '__old$' ORDER BY c.relname"
    )


@pytest.mark.parametrize("name", PROJECTIONS)
async def test_a_rebuilt_view_is_the_live_one(views: Views, name: str) -> None:
    before, structure = [await views.dump(table) for table in TABLES], await catalogue(views)
    told: list[tuple[int, int]] = []
    report = await rebuild(views.dsn, name, accept=False, progress=lambda done, until: told.append((done, until)))
    assert report.swapped
    assert not report.differs
    assert (report.name, report.position, report.events, report.parked) == (name, 79, 79, 0)
    assert told[-1] == (79, 79)
    assert [await views.dump(table) for table in TABLES] == before
    assert await catalogue(views) == structure


@pytest.mark.parametrize("name", PROJECTIONS)
async def test_after_a_rebuild_the_service_goes_on_with_the_new_tables(views: Views, name: str) -> None:
    oids = "SELECT array_agg(oid ORDER BY relname) FROM pg_class WHERE relname = ANY(%s)"
    runner, tables = views.runner(name), [table.name for table in PROJECTIONS[name].tables]
    was = await views.rows(oids, tables)
    for number in range(7):  # often enough for statements to be prepared
        await views.record(f"task/{new_task()}", filed("before"))
        assert await runner.step() == 1
        assert len((await views.task_list.page(1, ALL, page=1, per_page=100)).items) == 40 + (number + 1) * (
            name == "task_list"
        )
    await again(views, name)
    assert await views.rows(oids, tables) != was
    await views.record(f"task/{new_task()}", filed("after"))
    assert await runner.step() == 1
    await views.catch_up()
    page = await views.task_list.page(1, ALL, page=1, per_page=100)
    assert (page.items[0].title, page.total, len(page.items)) == ("after", 48, 48)
    report = await again(views, name)
    assert report.swapped
    assert not report.differs


ANOTHER_ROW = (
    "SELECT (jsonb_populate_record(t, jsonb_build_object('id', 'x'))).* FROM perezvon_1.task_list AS t LIMIT 1"
)
TAMPERED = {
    "a row that differs": ("UPDATE perezvon_1.task_list SET title = 'x' WHERE title = 'Заказ 7'", (1, 0, 0)),
    "a row that is gone": ("DELETE FROM perezvon_1.task_list WHERE title = 'Заказ 7'", (0, 0, 1)),
    "a row too many": (f"INSERT INTO perezvon_1.task_list {ANOTHER_ROW}", (0, 1, 0)),
}


@pytest.mark.parametrize("kind", TAMPERED)
async def test_differences_stop_the_swap_unless_they_are_accepted(views: Views, kind: str) -> None:
    good = await views.dump("task_list")
    statement, (differing, missing, extra) = TAMPERED[kind]
    await views.do(statement)
    spoilt = await views.dump("task_list")
    report = await again(views)
    assert report.differs
    assert not report.swapped
    assert report.differences[1] == Difference(table="task_list", differing=differing, missing=missing, extra=extra)
    assert report.differences[0] == Difference(table="task_counts", differing=0, missing=0, extra=0)
    assert await views.dump("task_list") == spoilt
    report = await again(views, accept=True)
    assert report.differs
    assert report.swapped
    assert await views.dump("task_list") == good
    assert await views.dump("task_list__old") == spoilt


async def test_a_rebuild_never_passes_the_live_view(views: Views) -> None:
    await views.record(f"task/{new_task()}", filed("not yet shown"))
    report = await again(views)
    assert (report.position, report.differs, report.swapped) == (79, False, True)
    await views.catch_up()
    assert (await views.task_list.page(1, ALL, page=1, per_page=1)).items[0].title == "not yet shown"


async def test_a_view_that_never_ran_is_rebuilt_to_where_it_is(database: str) -> None:
    async with open_views(database) as views:
        await views.record(f"task/{new_task()}", filed("A"))
        assert (await again(views)).position == 0
        await views.catch_up()
        assert (await views.task_list.page(1, ALL, page=1, per_page=1)).total == 1


class Crash(Exception):
    pass


async def test_what_a_crashed_rebuild_left_behind_is_no_hindrance(views: Views) -> None:
    before = await views.dump("task_list")

    def crash(*_: int) -> None:
        raise Crash

    for _ in range(2):
        with pytest.raises(Crash):
            await rebuild(views.dsn, "task_list", accept=False, progress=crash)
    assert len(await views.dump("task_list__new")) == 10
    assert await views.dump("task_list") == before
    assert (await again(views)).swapped
    assert await views.dump("task_list") == before


async def test_a_lost_connection_ends_a_rebuild_and_changes_nothing(views: Views) -> None:
    before = await views.dump("task_list")

    def lose(*_: int) -> None:
        with psycopg.connect(views.dsn) as other:
            other.execute(
                "SELECT pg_terminate_backend(l.pid) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
                " WHERE l.locktype = 'advisory' AND d.datname = current_database() AND l.pid <> pg_backend_pid()"
            )

    with pytest.raises(StorageUnavailable):
        await rebuild(views.dsn, "task_list", accept=False, progress=lose)
    assert await views.dump("task_list") == before
    assert (await again(views)).swapped


async def test_two_rebuilds_of_a_view_at_once_are_one_too_many(views: Views) -> None:
    other: list[asyncio.Task[RebuildReport]] = []

    def start_another(*_: int) -> None:
        other.append(asyncio.ensure_future(again(views)))

    report = await rebuild(views.dsn, "task_list", accept=False, progress=start_another)
    assert report.swapped
    for attempt in other:
        with pytest.raises(RebuildUnderWay):
            await attempt


async def test_the_swap_waits_for_a_long_reader_and_lets_others_through(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "_LOCK_SETTINGS", b"SET LOCAL lock_timeout = '20ms'")
    monkeypatch.setattr(rebuilding, "_LOCK_PAUSE_S", 0.02)
    tries = 0
    lock = rebuilding.ShadowTables.lock

    async def counted(self: rebuilding.ShadowTables) -> None:
        nonlocal tries
        tries += 1
        await lock(self)

    monkeypatch.setattr(rebuilding.ShadowTables, "lock", counted)
    async with await AsyncConnection.connect(views.dsn) as reader:
        await reader.execute("SELECT FROM perezvon_1.task_counts LIMIT 1")
        rebuilt = asyncio.create_task(again(views))
        while tries < 3:
            assert (await views.task_list.page(1, ALL, page=1, per_page=20)).total == 40
        assert not rebuilt.done()
    assert (await rebuilt).swapped


async def test_a_rebuild_waits_for_a_batch_however_long_it_takes(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "_LOCK_SETTINGS", b"SET LOCAL lock_timeout = '1ms'")
    waiting = b"SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with views.owner.transaction():
        await views.do("SELECT FROM perezvon_1.checkpoints FOR UPDATE")
        rebuilt = asyncio.create_task(again(views))
        async with await AsyncConnection.connect(views.dsn, autocommit=True) as onlooker:

            async def is_waiting() -> bool:
                return bool((await onlooker.execute(waiting)).rowcount)

            await eventually_async(is_waiting)
        await views.do("SELECT pg_sleep(0.01)")
        assert not rebuilt.done()
    assert (await rebuilt).swapped


async def test_a_swap_that_others_never_allow_is_given_up(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "_LOCK_SETTINGS", b"SET LOCAL lock_timeout = '5ms'")
    monkeypatch.setattr(rebuilding, "_LOCK_PAUSE_S", 0)
    before = await views.dump("task_list")
    async with await AsyncConnection.connect(views.dsn) as reader:
        await reader.execute("SELECT FROM perezvon_1.task_list LIMIT 1")
        with pytest.raises(StorageUnavailable, match="locked by another transaction"):
            await again(views)
    assert await views.dump("task_list") == before


async def test_a_rebuild_parks_afresh(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    for letter in "xy":
        await views.record(f"task/{letter}", filed("bad"))
        await views.record_raw(f"task/{letter}", 2, f"task.{letter}.v1", b"{}")
        await views.record(f"task/{letter}", TaskCompleted(), version=2)
    await views.catch_up()
    parked = "SELECT stream, version FROM perezvon_1.parked_streams WHERE name LIKE 'task_list%%' ORDER BY 1, 2"
    report = await again(views)
    assert (report.swapped, report.differs, report.parked) == (True, False, 2)
    assert await views.rows(parked) == [("task/x", 2), ("task/y", 2)]
    monkeypatch.setitem(UPCASTERS, "task.x.v1", lambda _: ("task.started.v1", encode(TaskStarted())))
    report = await again(views)
    assert (report.swapped, report.parked, report.differences[1].differing) == (False, 1, 1)
    assert ("task/x", 2) in await views.rows(parked)
    report = await again(views, accept=True)
    assert (report.swapped, report.parked) == (True, 1)
    assert await views.rows(parked) == [("task/y", 2)]
    assert {row.status for row in (await views.task_list.page(1, ALL, page=1, per_page=2)).items} == {
        "completed",
        "pending",
    }


async def test_who_may_read_a_view_may_read_it_after_the_swap(views: Views) -> None:
    await views.do("GRANT SELECT ON perezvon_1.task_list TO PUBLIC")
    before = await catalogue(views)
    await again(views)
    assert await catalogue(views) == before


async def test_every_view_has_a_name_by_which_it_is_rebuilt(views: Views) -> None:
    assert set(REBUILDABLE) == {*PROJECTIONS, "access_directory"}
    with pytest.raises(KeyError):
        await again(views, "no_such_view")


async def test_only_the_owner_can_rebuild(views: Views) -> None:
    with pytest.raises(StorageNeedsAttention, match="permission denied"):
        await rebuild(service_dsn(views.dsn), "task_list", accept=False, progress=ignore)
