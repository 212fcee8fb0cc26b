"""The view `task_list`: rows equal to the domain's state, filters, search, totals and pages."""

import random
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from itertools import product
from typing import Any

import msgspec
import pytest

from application.queries.task_list import TaskListFilter, TaskRow
from domain.task.events import (
    AppealLinked,
    Failure,
    Priority,
    TaskCancelled,
    TaskCompleted,
    TaskFact,
    TaskFailed,
    TaskReprocessed,
    TaskStarted,
    TaskType,
)
from domain.task.task import Status, replay
from infrastructure.read_models.task_list.folding import fold
from infrastructure.read_models.task_list.projection import TaskListProjection
from infrastructure.subscriptions.projection import VersionGap
from tests.support.histories import TASK_ID, filed
from tests.support.logs import open_log
from tests.support.views import Views, add_grams, fill_task_list, new_task, open_views, row_of

pytestmark = pytest.mark.anyio

ALL = TaskListFilter(include_cancelled=True)
TO: dict[Status, list[TaskFact]] = {
    Status.PENDING: [],
    Status.IN_PROGRESS: [TaskStarted()],
    Status.COMPLETED: [TaskStarted(), TaskCompleted()],
    Status.FAILED: [TaskFailed(personal=Failure(subject=TASK_ID, error_message="Не дозвонились"))],
    Status.CANCELLED: [TaskCancelled()],
}
MEMBERS = (None, "m1", "m2")


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


async def file(views: Views, *titles: str, status: Status = Status.PENDING, **fields: Any) -> list[str]:
    """File a task for each title, one after another; return their ids."""
    ids = [new_task() for _ in titles]
    for task_id, title in zip(ids, titles, strict=True):
        await views.record(f"task/{task_id}", filed(title, **fields), *TO[status])
    await views.catch_up("task_list")
    return ids


async def found(views: Views, wanted: TaskListFilter = ALL, *, page: int = 1, per_page: int = 100) -> list[str]:
    """Return the ids of a page."""
    shown = await views.task_list.page(1, wanted, page=page, per_page=per_page)
    return [row.id for row in shown.items]


def titles(rows: Iterable[TaskRow]) -> list[str]:
    return [row.title for row in rows]


async def test_a_row_is_what_the_domain_makes_of_the_facts(views: Views) -> None:
    at = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
    task_id = new_task()
    details = {
        "description": "d",
        "caller_phone": "+77010001001",
        "caller_name": "Анна",
        "recording_url": "https://r/1",
    }
    texts = {"call_transcription": "t", "call_summary": "s", "call_response_summary": "r"}
    ids = {"assigned_user_id": "m1", "created_by_user_id": "m2", "call_id": "c1"}
    first = filed("Перезвонить", **details, **texts, **ids, call_datetime=at, due_date=at, priority=Priority.HIGH)
    failed = TaskFailed(personal=Failure(subject=TASK_ID, error_message="Занято"))
    facts = [first, TaskStarted(), failed, TaskReprocessed(attempt=2), AppealLinked(appeal_id="A-1"), TaskCompleted()]
    await views.record(f"task/{task_id}", *facts)
    await views.catch_up("task_list")
    async with open_log(views.dsn) as log:
        task = replay(await log.read(f"task/{task_id}"))
    assert task is not None
    (row,) = (await views.task_list.page(1, ALL, page=1, per_page=5)).items
    assert msgspec.structs.asdict(row) == row_of(task) | {"assigned_user_name": None}
    assert (row.version, row.attempt, row.status, row.appeal_id) == (6, 2, "completed", "A-1")


async def test_each_change_by_itself_gives_the_same_row_as_all_at_once(views: Views) -> None:
    facts = [
        filed("A", assigned_user_id="m1"),
        *TO[Status.FAILED],
        TaskReprocessed(attempt=2),
        AppealLinked(appeal_id="x"),
    ]
    slow, quick = new_task(), new_task()
    for version, fact in enumerate(facts):
        await views.record(f"task/{slow}", fact, version=version)
        await views.catch_up("task_list")
    await views.record(f"task/{quick}", *facts)
    await views.catch_up("task_list")
    rows = (await views.task_list.page(1, ALL, page=1, per_page=5)).items
    same = [(r.status, r.version, r.attempt, r.error_message, r.appeal_id, r.title, r.assigned_user_id) for r in rows]
    assert len(same) == 2
    assert same[0] == same[1]


async def test_the_newest_task_comes_first_and_of_one_moment_the_later_id(views: Views) -> None:
    older = await file(views, "1", "2")
    ids = [new_task() for _ in range(3)]
    await views.record_histories((task_id, [filed("same moment")]) for task_id in ids)
    await views.catch_up("task_list")
    assert await found(views) == [*reversed(ids), *reversed(older)]


async def test_the_assigned_member_is_named(views: Views) -> None:
    await views.do("INSERT INTO perezvon_1.members VALUES ('m1', 1, 'Анна Ким', 'agent')")
    await file(views, "with", assigned_user_id="m1")
    await file(views, "without")
    rows = (await views.task_list.page(1, ALL, page=1, per_page=5)).items
    assert [(row.assigned_user_id, row.assigned_user_name) for row in rows] == [(None, None), ("m1", "Анна Ким")]


async def test_another_organisations_tasks_are_neither_shown_nor_counted(views: Views) -> None:
    await views.record(f"task/{new_task()}", filed("чужая", caller_phone="+77010001001"), organization_id=65)
    await views.catch_up("task_list")
    wanted = [ALL, TaskListFilter(search="чуж"), TaskListFilter(caller_phone="+77010001001")]
    for one in [*wanted, TaskListFilter(status=Status.PENDING), TaskListFilter(search="чу")]:
        page = await views.task_list.page(1, one, page=1, per_page=5)
        assert (page.items, page.total) == ([], 0)
        assert (await views.task_list.page(65, one, page=1, per_page=5)).total == 1


@pytest.fixture
async def many(views: Views) -> Views:
    """Yield views of three hundred tasks of all kinds, in no order."""
    chance = random.Random(7)
    kinds = list(product(Status, TaskType, Priority, MEMBERS))
    histories: list[tuple[str, list[TaskFact]]] = []
    for number in range(300):
        status, task_type, priority, member = chance.choice(kinds)
        fields = {"task_type": task_type, "priority": priority, "assigned_user_id": member}
        phone = chance.choice(["+77010001001", "+77010001002", None])
        histories.append((new_task(), [filed(f"Заказ {number}", caller_phone=phone, **fields), *TO[status]]))
    for start in range(0, 300, 50):
        await views.record_histories(histories[start : start + 50])
    await views.catch_up("task_list")
    return views


def passes(row: TaskRow, wanted: TaskListFilter) -> bool:
    hidden = row.status == "cancelled" and not wanted.include_cancelled and wanted.status is None
    asked = (wanted.status, wanted.task_type, wanted.priority, wanted.assigned_user_id, wanted.caller_phone)
    there = (row.status, row.task_type, row.priority, row.assigned_user_id, row.caller_phone)
    matches = wanted.search is None or fold(wanted.search) in fold(row.title)
    return not hidden and matches and all(a is None or a == b for a, b in zip(asked, there, strict=True))


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("extra", [{}, {"caller_phone": "+77010001001"}, {"search": "заказ 1"}, {"search": "12"}])
async def test_every_combination_of_filters_gives_its_rows_and_its_total(
    many: Views, extra: dict[str, Any], *, cancelled: bool
) -> None:
    pages = [await many.task_list.page(1, ALL, page=number, per_page=100) for number in (1, 2, 3)]
    everything = [row for page in pages for row in page.items]
    assert len(everything) == 300
    choices = [None, Status.PENDING, Status.CANCELLED], [None, TaskType.ORDER], [None, Priority.LOW], [None, "m1", ""]
    for status, task_type, priority, member in product(*choices):
        wanted = TaskListFilter(
            status=status,
            task_type=task_type,
            priority=priority,
            assigned_user_id=member,
            include_cancelled=cancelled,
            **extra,
        )
        expected = [row for row in everything if passes(row, wanted)]
        page = await many.task_list.page(1, wanted, page=1, per_page=100)
        assert (page.total, page.total_is_exact) == (len(expected), True)
        assert list(page.items) == expected[:100]
        second = await many.task_list.page(1, wanted, page=2, per_page=7)
        assert list(second.items) == expected[7:14]
        for row in expected[6:7]:
            behind = await many.task_list.page(1, wanted, after=row.id, per_page=7)
            assert (list(behind.items), behind.total) == (expected[7:14], len(expected))
            assert behind.has_next is second.has_next is (len(expected) > 14)


@pytest.mark.parametrize(
    "wanted", [ALL, TaskListFilter(), TaskListFilter(status=Status.COMPLETED), TaskListFilter(search="заказ")]
)
@pytest.mark.parametrize("per_page", [1, 7, 100])
async def test_the_pages_one_after_another_are_the_whole_list(
    many: Views, wanted: TaskListFilter, per_page: int
) -> None:
    first = await many.task_list.page(1, wanted, page=1, per_page=100)
    numbers = range(1, first.total // per_page + 3)
    pages = [await many.task_list.page(1, wanted, page=number, per_page=per_page) for number in numbers]
    together = [row.id for page in pages for row in page.items]
    assert len(set(together)) == len(together) == first.total
    assert together[:100] == [row.id for row in first.items]
    assert together == [
        row.id for page in pages for row in sorted(page.items, key=lambda r: (r.created_at, r.id), reverse=True)
    ]
    assert {page.total for page in pages} == {first.total}
    assert pages[-1].items == []


async def test_a_page_far_past_the_end_is_empty_and_has_the_total(many: Views) -> None:
    for wanted in (ALL, TaskListFilter(status=Status.PENDING), TaskListFilter(search="заказ")):
        page = await many.task_list.page(1, wanted, page=1_000_000, per_page=100)
        assert page.items == []
        assert page.total > 0


async def test_an_empty_list_has_a_position(views: Views) -> None:
    position = await views.record("organization/1", filed())
    await views.catch_up("task_list")
    page = await views.task_list.page(1, TaskListFilter(), page=1, per_page=20)
    assert (page.items, page.total, page.position) == ([], 0, position)


@pytest.mark.parametrize(
    ("title", "search"),
    [
        ("Жалоба на доставку", "ДОСТАВ"),
        ("ЖАЛОБА", "жалоба"),
        ("Скидка 100% сегодня", "100%"),
        ("file_name", "e_n"),
        (r"C:\temp\x", r"\temp"),
        ("а б", "а б"),
        ("№ 5", "№"),
        ("Ёлка", "ёл"),
        ("эй", "й"),
        ("щука", "Щ"),
        ("№ 7 - 8", " - "),
    ],
)
async def test_a_search_finds_the_text_itself_in_either_case(views: Views, title: str, search: str) -> None:
    await file(views, "Скидка 1000 сегодня", "filexname", "C:temp", "что-то другое", title)
    page = await views.task_list.page(1, TaskListFilter(search=search), page=1, per_page=20)
    assert (titles(page.items), page.total) == ([title], 1)


@pytest.mark.parametrize("search", ["заяв", "за"])
async def test_more_than_ten_thousand_matches_are_at_least_ten_thousand(views: Views, search: str) -> None:
    await fill_task_list(views, 10_000)
    await add_grams(views)
    page = await views.task_list.page(1, TaskListFilter(search=search, include_cancelled=True), page=1, per_page=20)
    assert (page.total, page.total_is_exact) == (10_000, True)
    (newest,) = await file(views, "Ещё одна заявка")
    page = await views.task_list.page(1, TaskListFilter(search=search, include_cancelled=True), page=1, per_page=20)
    assert (page.total, page.total_is_exact, page.items[0].id, len(page.items)) == (10_000, False, newest, 20)
    last = await views.task_list.page(1, TaskListFilter(search=search, include_cancelled=True), page=501, per_page=20)
    assert len(last.items) == 1


async def test_a_short_search_finds_only_what_is_the_organisations_own(views: Views) -> None:
    (own,) = await file(views, "Щука")
    await views.record(f"task/{new_task()}", filed("Щука"), organization_id=65)
    await views.catch_up("task_list")
    page = await views.task_list.page(1, TaskListFilter(search="щу"), page=1, per_page=20)
    assert ([row.id for row in page.items], page.total) == ([own], 1)


async def test_facts_that_are_folded_already_change_nothing(views: Views) -> None:
    await views.record(f"task/{new_task()}", filed("A", assigned_user_id="m1"), *TO[Status.COMPLETED])
    await views.catch_up("task_list")
    before = [await views.dump(table) for table in ("task_list", "task_counts")]
    await TaskListProjection().handle(views.owner, await views.events("task/"))
    assert [await views.dump(table) for table in ("task_list", "task_counts")] == before


async def test_a_missing_fact_is_no_guess(views: Views) -> None:
    await views.record(f"task/{new_task()}", filed("A"), *TO[Status.COMPLETED])
    first, second, third = await views.events("task/")
    with pytest.raises(VersionGap):
        await TaskListProjection().handle(views.owner, [first, third])
    with pytest.raises(VersionGap):
        await TaskListProjection().handle(views.owner, [second])


async def test_the_counts_are_those_of_the_rows(many: Views) -> None:
    kinds = "organization_id, {}, status, task_type, priority"
    members = (
        f"SELECT {kinds}, count(*) FROM perezvon_1.task_list WHERE assigned_user_id IS NOT NULL GROUP BY 1, 2, 3, 4, 5"
    )
    counted = await many.rows(
        f"SELECT {kinds.format(chr(39) * 2)}, count(*) FROM perezvon_1.task_list GROUP BY 1, 3, 4, 5"
        f" UNION ALL {members.format('assigned_user_id')} ORDER BY 1, 2, 3, 4, 5"
    )
    kept = await many.rows("SELECT * FROM perezvon_1.task_counts WHERE count <> 0 ORDER BY 1, 2, 3, 4, 5")
    assert kept == counted
