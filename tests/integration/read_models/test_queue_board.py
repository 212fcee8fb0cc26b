"""The view `queue_board`: the list of queues, and the live board with the reason why nothing starts."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from application.queries.queue_board import Idle, QueueBoardRow, queue_row
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackDelayed,
    CallbackFinished,
    FinishResult,
)
from domain.callback_queue.callback_queue import replay
from domain.callback_queue.events import (
    QueueCreated,
    QueueDeleted,
    QueueDescribed,
    QueueLimitChanged,
    QueueStatus,
    QueueSwitchedOff,
    QueueSwitchedOn,
)
from domain.model import Fact
from infrastructure.read_models.registry import PROJECTIONS
from infrastructure.subscriptions.projection import VersionGap
from tests.support.histories import BUSY, QUEUE_ID, START, call_id_of, queue_created, scheduled
from tests.support.logs import open_log
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio

STREAM = f"queue/{QUEUE_ID}"
LONG_AGO = datetime(2026, 1, 2, 3, tzinfo=UTC)
LONG_AHEAD = datetime(2999, 1, 2, 3, tzinfo=UTC)


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


async def put(views: Views, number: int, *facts: Fact, organization_id: int = 1) -> None:
    """Record a queue."""
    await views.record(f"queue/{number * 64 + 1}", *(facts or [queue_created()]), organization_id=organization_id)


async def board_row(views: Views) -> QueueBoardRow:
    """Return the queue's entry of the board."""
    await views.catch_up("queue_board", "callback_list")
    (found,) = (await views.queue_board.rows(1, queue_id=QUEUE_ID, limit=1)).items
    return found


async def listed(views: Views, **part: int) -> list[int]:
    """Return the ids of the list."""
    page = await views.queue_board.queues(1, **({"limit": 10} | part))
    return [row.id for row in page.items]


async def test_a_queue_is_what_the_domain_makes_of_the_facts(views: Views) -> None:
    changes = [
        QueueDescribed(name="Ночная смена", comment="с 22 до 6"),
        QueueLimitChanged(concurrent_task_limit=7),
        QueueSwitchedOn(),
        QueueSwitchedOff(),
    ]
    created = QueueCreated(name="Смена", status=QueueStatus.OFF, concurrent_task_limit=3)
    for version, fact in enumerate([created, *changes]):
        await views.record(STREAM, fact, version=version)
        await views.catch_up("queue_board")
        async with open_log(views.dsn) as log:
            queue = replay(await log.read(STREAM))
        assert queue is not None
        assert (await views.queue_board.queues(1, limit=5)).items == [queue_row(queue)]


async def test_queues_are_listed_by_id_in_parts_without_deleted_and_foreign_ones(views: Views) -> None:
    for number in (5, 3, 4, 1):
        await put(views, number)
    await put(views, 2, queue_created(), QueueDeleted())
    await put(views, 6, organization_id=65)
    await put(views, 7)
    await views.catch_up("queue_board")
    await views.record("queue/449", QueueDeleted(), version=1)
    await views.catch_up("queue_board")
    whole = [65, 193, 257, 321]
    assert await listed(views) == whole
    assert await listed(views, limit=2) == whole[:2]
    assert await listed(views, offset=1, limit=2) == whole[1:3]
    assert await listed(views, after=193) == whole[2:]
    found = await views.queue_board.rows(1, after=65, limit=2)
    assert [queue.id for queue in found.items] == whole[1:3]
    for number in (129, 385, 449):
        assert (await views.queue_board.rows(1, queue_id=number, limit=1)).items == []


async def test_lists_have_a_position_also_when_they_are_empty(views: Views) -> None:
    position = await views.record(STREAM, queue_created(), QueueDeleted())
    await views.catch_up("queue_board")
    page = await views.queue_board.queues(1, limit=5)
    assert (page.items, page.position) == ([], position)
    board = await views.queue_board.rows(1, limit=5)
    assert (board.items, board.position) == ([], 0)  # callback_list has not begun
    await views.catch_up("callback_list")
    assert (await views.queue_board.rows(1, limit=5)).position == position


async def test_the_board_counts_a_queues_callbacks_and_knows_its_answer_rate(views: Views) -> None:
    started, failed = AttemptStarted(attempt=1, call_id=call_id_of(1)), AttemptFailed(attempt=1, end=BUSY)
    joined = [started, AttemptSucceeded(attempt=1), CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b")]
    spent = [started, failed, CallbackFinished(result=FinishResult.FAILED, comment="BUSY a busy")]
    await views.record(STREAM, queue_created(concurrent_task_limit=4))
    assert (await board_row(views)).answer_rate is None
    ends: list[Sequence[Fact]] = [
        [],
        [],
        [],
        [started],
        [started],
        [started, failed, CallbackDelayed(due_at=START)],
        joined,
        spent,
    ]
    await views.record_streams([(f"callback/{64 * n + 1}", [scheduled(), *facts]) for n, facts in enumerate(ends, 1)])
    found = await board_row(views)
    assert (found.waiting, found.running, found.delayed, found.succeeded, found.failed) == (3, 2, 1, 1, 1)
    assert (found.answer_rate, found.concurrent_task_limit, found.status) == (0.3333, 4, "on")


async def test_why_nothing_starts_is_told_by_the_first_reason_that_holds(views: Views) -> None:
    await views.record(STREAM, queue_created(status=QueueStatus.OFF, concurrent_task_limit=2))
    found = await board_row(views)
    assert (found.idle, found.oldest_due, found.taken) == (Idle.OFF, None, 0)
    await views.record(STREAM, QueueSwitchedOn(), version=1)
    assert (await board_row(views)).idle is Idle.NOTHING_DUE
    due = "INSERT INTO perezvon_1.timetable (callback_id, queue_id, organization_id, due_at, position)"
    await views.do(f"{due} VALUES (129, %s, 1, %s, 1)", QUEUE_ID, LONG_AHEAD)
    found = await board_row(views)
    assert (found.idle, found.oldest_due) == (Idle.NOTHING_DUE, LONG_AHEAD)
    await views.do(f"{due} VALUES (193, %s, 1, %s, 1)", QUEUE_ID, LONG_AGO)
    found = await board_row(views)
    assert (found.idle, found.oldest_due) == (Idle.SWITCH_AWAY, LONG_AGO)
    await views.do(
        "INSERT INTO perezvon_1.gateway_leases (gateway, until, link_up) VALUES ('s', now() + interval '1 hour', true)"
    )
    assert (await board_row(views)).idle is None
    await views.do(
        "INSERT INTO perezvon_1.queue_slots (queue_id, organization_id, is_on, slots, taken, next_due_at)"
        " VALUES (%s, 1, true, 2, 2, '-infinity')",
        QUEUE_ID,
    )
    await views.do("UPDATE perezvon_1.gateway_leases SET is_full = true")
    found = await board_row(views)
    assert (found.idle, found.taken) == (Idle.LIMIT_REACHED, 2)
    await views.do("UPDATE perezvon_1.queue_slots SET taken = 1")
    assert (await board_row(views)).idle is Idle.CHANNELS_FULL
    await views.do(
        "INSERT INTO perezvon_1.gateway_leases (gateway, until, link_up) VALUES ('t', now() + interval '1 hour', true)"
    )
    assert (await board_row(views)).idle is None


@pytest.fixture
async def due(views: Views) -> Views:
    """Return views of a queue that starts calls: one is due, and a worker leads."""
    await views.record(STREAM, queue_created())
    await views.do(
        "INSERT INTO perezvon_1.timetable (callback_id, queue_id, organization_id, due_at, position)"
        " VALUES (193, %s, 1, %s, 1)",
        QUEUE_ID,
        LONG_AGO,
    )
    await views.do(
        "INSERT INTO perezvon_1.gateway_leases (gateway, until, link_up) VALUES ('s', now() + interval '1 hour', true)"
    )
    assert (await board_row(views)).idle is None
    return views


async def why(views: Views) -> tuple[Idle | None, datetime | None]:
    found = await board_row(views)
    return found.idle, found.idle_until


@pytest.mark.parametrize("changed", ["link_up = false", "until = now() - interval '1 second'"])
async def test_a_switch_is_away_when_its_link_is_down_or_nobody_leads(due: Views, changed: str) -> None:
    await due.do(f"UPDATE perezvon_1.gateway_leases SET {changed}")
    assert await why(due) == (Idle.SWITCH_AWAY, None)


async def test_an_open_breaker_is_told_with_the_time_of_its_probe(due: Views) -> None:
    later = LONG_AHEAD + timedelta(days=1)
    await due.do("UPDATE perezvon_1.gateway_leases SET pauses = 1, paused_until = now()")
    assert await why(due) == (Idle.BREAKER_OPEN, None)  # at any moment
    await due.do("UPDATE perezvon_1.gateway_leases SET paused_until = %s", LONG_AHEAD)
    assert await why(due) == (Idle.BREAKER_OPEN, LONG_AHEAD)
    await due.do("INSERT INTO perezvon_1.organization_pauses VALUES ('s', 1, %s, 1), ('s', 65, %s, 1)", later, later)
    assert await why(due) == (Idle.BREAKER_OPEN, later)
    await due.do("UPDATE perezvon_1.gateway_leases SET paused_until = '-infinity'")
    assert await why(due) == (Idle.BREAKER_OPEN, later)
    await due.do("DELETE FROM perezvon_1.organization_pauses WHERE organization_id = 1")
    assert await why(due) == (None, None)


async def test_an_organisation_without_calls_left_sees_until_when(due: Views) -> None:
    await due.do("INSERT INTO perezvon_1.organization_calls VALUES (1, now(), 7, %s), (65, now(), 7, %s)", START, START)
    assert await why(due) == (None, None)
    await due.do("UPDATE perezvon_1.organization_calls SET held_until = %s WHERE organization_id = 65", LONG_AHEAD)
    assert await why(due) == (None, None)
    await due.do("UPDATE perezvon_1.organization_calls SET held_until = %s", LONG_AHEAD)
    assert await why(due) == (Idle.DAILY_QUOTA, LONG_AHEAD)


async def test_a_share_of_the_channels_that_is_used_up_is_told_to_its_organisation_only(due: Views) -> None:
    await due.do("UPDATE perezvon_1.gateway_leases SET full_for = '{65}'")
    assert await why(due) == (None, None)
    await due.do("UPDATE perezvon_1.gateway_leases SET full_for = '{65, 1}'")
    assert await why(due) == (Idle.CHANNELS_FULL, None)


async def test_callbacks_whose_clients_have_calls_do_not_count_as_starting(due: Views) -> None:
    await due.do(
        "WITH busy AS (DELETE FROM perezvon_1.timetable RETURNING *)"
        " INSERT INTO perezvon_1.line_waits SELECT callback_id, queue_id, organization_id, due_at, 1, 2, 3, 3 FROM busy"
    )
    found = await board_row(due)
    assert (found.idle, found.oldest_due) == (Idle.CLIENT_BUSY, LONG_AGO)


@pytest.mark.parametrize("reason", [Idle.NUMBER_QUOTA, Idle.NUMBER_CONGESTED, Idle.UNREADABLE])
async def test_a_callback_that_was_made_due_later_has_the_reason(due: Views, reason: Idle) -> None:
    await due.do("UPDATE perezvon_1.timetable SET due_at = %s, held_by = %s", LONG_AHEAD, reason)
    assert await why(due) == (reason, LONG_AHEAD)


async def test_facts_that_are_folded_already_change_nothing_and_a_missing_one_is_no_guess(views: Views) -> None:
    await views.record(STREAM, queue_created(), QueueSwitchedOff(), QueueDeleted())
    first, second, third = await views.events("queue/")
    board = PROJECTIONS["queue_board"]
    with pytest.raises(VersionGap):
        await board.handle(views.owner, [second])
    with pytest.raises(VersionGap):
        await board.handle(views.owner, [first, third])
    await board.handle(views.owner, [first, second, third])
    before = await views.dump("queue_board")
    await board.handle(views.owner, [first, second, third])
    assert await views.dump("queue_board") == before
    assert before[0][-1] is True
