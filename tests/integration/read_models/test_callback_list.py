"""The view `callback_list`: rows equal to the domain's state, filters, totals and parts of a list."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from itertools import product

import pytest

from application.queries.callback_list import CallbackListFilter, CallbackRow, callback_row
from domain.callback.callback import Status, replay
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFact,
    CallbackFinished,
    CallbackRemoved,
    CallEnded,
    FinishResult,
)
from domain.callback_queue.events import QueueDeleted
from infrastructure.read_models.registry import PROJECTIONS
from infrastructure.subscriptions.projection import VersionGap
from tests.support.histories import BUSY, QUEUE_ID, START, SUCCESS, call_id_of, queue_created, scheduled
from tests.support.logs import open_log
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio

ALL = CallbackListFilter()
STARTED = AttemptStarted(attempt=1, call_id=call_id_of(1))
FAILED = [STARTED, AttemptFailed(attempt=1, end=BUSY)]
SUCCEEDED = [
    STARTED,
    AttemptSucceeded(attempt=1),
    CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b"),
    CallEnded(attempt=1, end=SUCCESS),
]
TO: dict[str, Sequence[CallbackFact]] = {
    "scheduled": [],
    "executed": [STARTED],
    "delayed": [*FAILED, CallbackDelayed(due_at=START + timedelta(minutes=9))],
    "success": SUCCEEDED,
    "failed": [*FAILED, CallbackFinished(result=FinishResult.FAILED, comment="BUSY a busy (SIP 486 Busy Here)")],
    "cancelled": [CallbackCancelled()],
    "removed": [*SUCCEEDED, CallbackRemoved()],
}


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


async def found(views: Views, wanted: CallbackListFilter = ALL, queue_id: int = QUEUE_ID, **part: int) -> list[int]:
    """Return the ids of a part of the list."""
    page = await views.callback_list.page(1, queue_id, wanted, **({"limit": 1000} | part))
    return [row.id for row in page.items]


def fact_of(kind: str, queue_id: int = QUEUE_ID) -> list[CallbackFact]:
    """Return a history that ends with this state."""
    return [scheduled(queue_id=queue_id), *TO[kind]]


@pytest.mark.parametrize("kind", ["scheduled", "executed", "delayed", "success", "failed"])
async def test_a_row_is_what_the_domain_makes_of_the_facts(views: Views, kind: str) -> None:
    urls = {name: f"https://crm.example/{name}" for name in ("url_before", "url_before_again", "url_success")}
    first = scheduled(name="Иван", extension_id=7, url_after="http://crm.example:8080/after", task_id="t1", **urls)
    await views.record("callback/129", first, *TO[kind])
    await views.catch_up("callback_list")
    async with open_log(views.dsn) as log:
        callback = replay(await log.read("callback/129"))
    assert callback is not None
    assert (await views.callback_list.page(1, QUEUE_ID, ALL, limit=5)).items == [callback_row(callback)]


async def test_each_change_by_itself_gives_the_same_row_as_all_at_once(views: Views) -> None:
    for version, fact in enumerate(fact_of("delayed")):
        await views.record("callback/65", fact, version=version)
        await views.catch_up("callback_list")
    await views.record("callback/129", *fact_of("delayed"))
    await views.catch_up("callback_list")
    slow, quick = (await views.callback_list.page(1, QUEUE_ID, ALL, limit=5)).items
    assert (slow.status, slow.version, slow.attempt, slow.due_at) == ("delayed", 4, 1, START + timedelta(minutes=9))
    same = [(row.status, row.version, row.attempt, row.due_at, row.call_id, row.b_number) for row in (slow, quick)]
    assert same[0] == same[1]


async def test_what_is_deleted_is_neither_listed_nor_counted(views: Views) -> None:
    kinds = ("scheduled", "cancelled", "removed", "success")
    await views.record_streams([(f"callback/{64 * n + 1}", fact_of(kind)) for n, kind in enumerate(kinds, 1)])
    await views.catch_up("callback_list")
    page = await views.callback_list.page(1, QUEUE_ID, ALL, limit=5)
    assert ([row.id for row in page.items], page.total) == ([65, 257], 2)
    assert await found(views, CallbackListFilter(status=Status.CANCELLED)) == []


async def test_a_call_that_ends_after_its_callback_was_cancelled_disturbs_nothing(views: Views) -> None:
    await views.record("callback/65", scheduled(), STARTED, CallbackCancelled())
    await views.catch_up("callback_list")
    await views.record("callback/65", CallEnded(attempt=1, end=BUSY), version=3)
    await views.catch_up("callback_list")
    assert (await views.callback_list.page(1, QUEUE_ID, ALL, limit=5)).total == 0
    assert await views.rows("SELECT FROM perezvon_1.parked_streams") == []


async def test_another_queues_and_another_organisations_callbacks_are_neither_shown_nor_counted(views: Views) -> None:
    await views.record("callback/65", scheduled(queue_id=129))
    await views.record("callback/129", scheduled(), organization_id=65)
    await views.catch_up("callback_list")
    for wanted in (ALL, CallbackListFilter(status=Status.SCHEDULED)):
        assert await found(views, wanted) == []
        assert await found(views, wanted, after=1) == []
        assert (await views.callback_list.page(1, QUEUE_ID, wanted, limit=5)).total == 0
        assert (await views.callback_list.page(65, QUEUE_ID, wanted, limit=5)).total == 1


async def test_a_callback_that_strayed_into_another_organisations_queue_is_not_shown_there(views: Views) -> None:
    await views.record("callback/65", scheduled())
    await views.record("callback/129", scheduled(), organization_id=65)
    await views.catch_up("callback_list")
    assert await found(views) == [65]


async def test_of_a_deleted_queue_nothing_is_listed_and_none_of_its_rows_is_written(views: Views) -> None:
    await views.record(f"queue/{QUEUE_ID}", queue_created())
    await views.record_streams([(f"callback/{64 * n + 1}", fact_of("success")) for n in range(1, 9)])
    await views.catch_up("callback_list")
    rows = "SELECT ctid::text, xmin::text FROM perezvon_1.callback_list ORDER BY id"
    before = await views.rows(rows)
    await views.record(f"queue/{QUEUE_ID}", QueueDeleted(), version=1)
    await views.catch_up("callback_list")
    assert await found(views) == []
    assert await found(views, after=65) == []
    assert await views.rows(rows) == before
    assert len(before) == 8


@pytest.fixture
async def many(views: Views) -> Views:
    """Yield views of two hundred callbacks of all kinds in each of two queues."""
    chance = random.Random(7)
    streams = [
        (f"callback/{64 * n + 1}", fact_of(chance.choice([*TO]), queue_id))
        for n, queue_id in enumerate([QUEUE_ID, 129] * 200)
    ]
    for start in range(0, 400, 100):
        await views.record_streams(streams[start : start + 100])
    await views.catch_up("callback_list")
    return views


def passes(row: CallbackRow, wanted: CallbackListFilter) -> bool:
    return wanted.status in {None, row.status} and wanted.finish_result in {None, row.finish_result}


@pytest.mark.parametrize(("status", "result"), [*product([None, *Status], [None, *FinishResult])])
async def test_every_filter_gives_its_rows_and_its_total(
    many: Views, status: Status | None, result: FinishResult | None
) -> None:
    everything = (await many.callback_list.page(1, QUEUE_ID, ALL, limit=1000)).items
    assert len(everything) > 100
    wanted = CallbackListFilter(status=status, finish_result=result)
    expected = [row for row in everything if passes(row, wanted)]
    page = await many.callback_list.page(1, QUEUE_ID, wanted, limit=1000)
    assert (list(page.items), page.total) == (expected, len(expected))
    part = await many.callback_list.page(1, QUEUE_ID, wanted, offset=7, limit=9)
    assert (list(part.items), part.total) == (expected[7:16], len(expected))
    middle = everything[len(everything) // 2].id
    behind = await many.callback_list.page(1, QUEUE_ID, wanted, after=middle, limit=5)
    assert list(behind.items) == [row for row in expected if row.id > middle][:5]


@pytest.mark.parametrize("limit", [1, 7, 200])
async def test_parts_one_after_another_are_the_whole_list_by_id(many: Views, limit: int) -> None:
    whole = await found(many)
    assert whole == sorted(whole)
    by_page = [await found(many, offset=offset, limit=limit) for offset in range(0, len(whole) + limit, limit)]
    assert [number for part in by_page for number in part] == whole
    followed: list[int] = []
    while part := await found(many, after=followed[-1] if followed else 0, limit=limit):
        followed += part
    assert followed == whole


async def test_after_and_offset_go_together(many: Views) -> None:
    whole = await found(many)
    assert await found(many, after=whole[20], offset=5, limit=3) == whole[26:29]


async def test_far_past_the_end_there_is_nothing_but_the_total(many: Views) -> None:
    total = len(await found(many))
    for part in ({"offset": 10**9}, {"after": 2**53 - 1}):
        page = await many.callback_list.page(1, QUEUE_ID, ALL, limit=100, **part)
        assert (page.items, page.total) == ([], total)


async def test_an_empty_list_has_a_position(views: Views) -> None:
    position = await views.record(f"queue/{QUEUE_ID}", queue_created())
    await views.catch_up("callback_list")
    page = await views.callback_list.page(1, QUEUE_ID, ALL, limit=5)
    assert (page.items, page.total, page.position) == ([], 0, position)


async def test_facts_that_are_folded_already_change_nothing(views: Views) -> None:
    await views.record_streams([(f"callback/{64 * n + 1}", fact_of(kind)) for n, kind in enumerate(TO, 1)])
    await views.record(f"queue/{QUEUE_ID}", queue_created(), QueueDeleted())
    await views.catch_up("callback_list")
    projection = PROJECTIONS["callback_list"]
    before = [await views.dump(table.name) for table in projection.tables]
    await projection.handle(views.owner, await views.events(projection.subscription))
    assert [await views.dump(table.name) for table in projection.tables] == before
    assert [len(rows) for rows in before] == [1, len(TO)]


async def test_a_missing_fact_is_no_guess(views: Views) -> None:
    await views.record("callback/65", *fact_of("executed"))
    first, second = await views.events("callback/")
    with pytest.raises(VersionGap):
        await PROJECTIONS["callback_list"].handle(views.owner, [second])
    await PROJECTIONS["callback_list"].handle(views.owner, [first])
