"""The policy keep_timetable: entries of the timetable, and slots of queues."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from application.phone_line_key import line_key
from application.policies.keep_timetable import NewSlots, SlotChange, TimetableEntry, plan_changes
from domain.callback.events import (
    AttemptStarted,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    FinishResult,
    Leg,
    Outcome,
)
from domain.callback.retry_policy import RetryPolicy, Rule
from domain.callback_queue.events import (
    CallingRules,
    QueueDeleted,
    QueueDescribed,
    QueueLimitChanged,
    QueueRulesChosen,
    QueueStatus,
    QueueSwitchedOff,
    QueueSwitchedOn,
)
from domain.model import Fact, tag_of
from infrastructure.event_log.codec import encode
from infrastructure.event_log.upcasters import UPCASTERS
from infrastructure.operations.retry_parked import retry_parked
from infrastructure.postgres.connections import service_dsn
from tests.support.histories import CALLBACK_ID, QUEUE_ID, START, call_id_of, queue_created, recorded, scheduled
from tests.support.policies import counted_notifications, go_on, new_number, open_queue, react, schedule, timetable
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio

LATER = START + timedelta(hours=1)
STARTED = AttemptStarted(attempt=1, call_id=call_id_of(1))
CHOSEN = CallingRules(retry_policy=RetryPolicy(outcomes={Outcome.BUSY: Rule(pause=9)}), client_leg=Leg.B)
FINISHED = CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b")
SCHEDULED = tag_of(CallbackScheduled)
CALLBACK, QUEUE = f"callback/{CALLBACK_ID}", f"queue/{QUEUE_ID}"


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


def test_the_last_word_of_a_batch_on_a_callback_counts() -> None:
    asked = {CALLBACK: scheduled()}
    waits = recorded([scheduled(), CallbackDelayed(due_at=LATER)], CALLBACK)
    lines = line_key(1, asked[CALLBACK].personal.a_number), line_key(1, asked[CALLBACK].personal.b_number)
    assert plan_changes(waits[:1], asked).entries == {
        CALLBACK_ID: TimetableEntry(CALLBACK_ID, QUEUE_ID, 1, START, 1, 1, *lines)
    }
    assert plan_changes(waits, asked).entries == {
        CALLBACK_ID: TimetableEntry(CALLBACK_ID, QUEUE_ID, 1, LATER, 2, 2, *lines)
    }
    gone = plan_changes(recorded([scheduled(), CallbackCancelled()], CALLBACK), asked)
    assert (gone.entries, gone.cancelled) == ({}, {CALLBACK_ID})


def test_changes_of_a_queue_come_together() -> None:
    facts = [queue_created(concurrent_task_limit=3), QueueSwitchedOff(), QueueLimitChanged(concurrent_task_limit=5)]
    changes = plan_changes(recorded(facts, QUEUE), {})
    assert changes.new_slots == [NewSlots(QUEUE_ID, 1, True, 3)]  # noqa: FBT003 - as the row has it
    assert changes.slot_changes == {QUEUE_ID: SlotChange(queue_id=QUEUE_ID, is_on=False, slots=5)}


async def slots(views: Views, queue_id: int) -> tuple[Any, ...]:
    query = "SELECT organization_id, is_on, is_deleted, slots, taken FROM perezvon_1.queue_slots WHERE queue_id = %s"
    (row,) = await views.rows(query, queue_id)
    return row


QUEUE_CHANGES: list[tuple[Fact, tuple[Any, ...]]] = [
    (QueueSwitchedOff(), (7, False, False, 4, 2)),
    (QueueSwitchedOn(), (7, True, False, 4, 2)),
    (QueueLimitChanged(concurrent_task_limit=9), (7, True, False, 9, 2)),
    (QueueDescribed(name="Other"), (7, True, False, 4, 2)),
    (QueueDeleted(), (7, True, True, 4, 2)),
]


@pytest.mark.parametrize(("change", "expected"), QUEUE_CHANGES)
async def test_a_change_of_a_queue_leaves_the_rest_of_its_row(
    views: Views, change: Fact, expected: tuple[Any, ...]
) -> None:
    queue_id = await open_queue(views, organization_id=7, concurrent_task_limit=4)
    other = await open_queue(views, status=QueueStatus.OFF)
    await react(views, "keep_timetable")
    assert await slots(views, other) == (1, False, False, 1, 0)
    await views.do("UPDATE perezvon_1.queue_slots SET taken = 2 WHERE queue_id = %s", queue_id)
    await go_on(views, f"queue/{queue_id}", change, organization_id=7)
    await react(views, "keep_timetable")
    assert await slots(views, queue_id) == expected
    assert await slots(views, other) == (1, False, False, 1, 0)


async def test_a_queue_that_is_opened_and_changed_in_one_batch_is_as_it_became(views: Views) -> None:
    queue_id = await open_queue(views, status=QueueStatus.OFF)
    await go_on(views, f"queue/{queue_id}", QueueLimitChanged(concurrent_task_limit=3), QueueSwitchedOn())
    await react(views, "keep_timetable")
    assert await slots(views, queue_id) == (1, True, False, 3, 0)


async def rules(views: Views, queue_id: int) -> tuple[CallingRules, int]:
    """Return the rules of a queue from its row, and its slots."""
    query = "SELECT retry_policy, client_leg, slots FROM perezvon_1.queue_slots WHERE queue_id = %s"
    ((policy, leg, slots),) = await views.rows(query, queue_id)
    return msgspec.convert({"retry_policy": policy, "client_leg": leg}, CallingRules), slots


async def test_rules_are_kept_whole_and_stay_until_others_are_chosen(views: Views) -> None:
    queue_id, other = await open_queue(views), await open_queue(views)
    await go_on(views, f"queue/{queue_id}", QueueRulesChosen(rules=CHOSEN))
    await react(views, "keep_timetable")
    assert await rules(views, queue_id) == (CHOSEN, 1)
    assert await rules(views, other) == (CallingRules(), 1)
    await go_on(views, f"queue/{queue_id}", QueueLimitChanged(concurrent_task_limit=2))
    await react(views, "keep_timetable")
    assert await rules(views, queue_id) == (CHOSEN, 2)
    no_policy = CallingRules(client_leg=Leg.A)
    await go_on(views, f"queue/{queue_id}", QueueRulesChosen(rules=no_policy))
    await react(views, "keep_timetable")
    assert await rules(views, queue_id) == (no_policy, 2)


async def test_rules_that_are_taken_back_in_the_same_batch_are_none(views: Views) -> None:
    queue_id = await open_queue(views)
    for chosen in (CHOSEN, CallingRules()):
        await go_on(views, f"queue/{queue_id}", QueueRulesChosen(rules=chosen))
    await react(views, "keep_timetable")
    query = "SELECT retry_policy, client_leg FROM perezvon_1.queue_slots WHERE queue_id = %s"
    assert await views.rows(query, queue_id) == [(None, None)]


async def test_what_waits_says_whose_lines_it_would_ring(views: Views) -> None:
    # The row is older than its columns for lines; they are filled when the callback is delayed again.
    callback_id = await schedule(views, await open_queue(views), a_number="1001", b_number="+77010001009")
    await react(views, "keep_timetable")
    lines = [(line_key(1, "1001"), line_key(1, "+77010001009"))]
    query = "SELECT a_line, b_line FROM perezvon_1.timetable"
    assert await views.rows(query) == lines
    await views.do("UPDATE perezvon_1.timetable SET a_line = NULL, b_line = NULL")
    await go_on(views, f"callback/{callback_id}", CallbackDelayed(due_at=LATER))
    await react(views, "keep_timetable")
    assert await views.rows(query) == lines


def test_a_line_is_the_same_for_the_same_number_of_the_same_organisation_alone() -> None:
    lines = [(1, "+77010001009"), (1, "+77010001008"), (11, "+77010001009"), (1, "1+77010001009")]
    keys = [line_key(*line) for line in lines]
    assert len(set(keys)) == len(lines)
    assert keys == [line_key(*line) for line in lines]


async def test_what_is_scheduled_waits_because_of_that_event(views: Views) -> None:
    queue_id = await open_queue(views)
    ids = [await schedule(views, queue_id, start_time=LATER) for _ in range(2)]
    await react(views, "keep_timetable")
    assert await timetable(views) == {ids[0]: (queue_id, 1, LATER, 2), ids[1]: (queue_id, 1, LATER, 3)}


async def test_what_is_delayed_waits_in_its_queue_anew(views: Views) -> None:
    queue_id = await open_queue(views)
    callback_id = await schedule(views, queue_id)
    await react(views, "keep_timetable")
    await views.do("DELETE FROM perezvon_1.timetable")  # as the dispatcher does when it starts the attempt
    await go_on(views, f"callback/{callback_id}", STARTED)
    position = await go_on(views, f"callback/{callback_id}", CallbackDelayed(due_at=LATER))
    await react(views, "keep_timetable")
    assert await timetable(views) == {callback_id: (queue_id, 1, LATER, position)}


@pytest.mark.parametrize("since", [(STARTED,), (STARTED, FINISHED), (CallbackCancelled(),)])
async def test_what_has_begun_or_ended_since_does_not_wait(views: Views, since: tuple[Any, ...]) -> None:
    await schedule(views, await open_queue(views), *since)
    await react(views, "keep_timetable")
    assert await timetable(views) == {}


async def test_a_queue_knows_its_first_callback_at_the_latest_when_it_is_committed(views: Views) -> None:
    queue_id = await open_queue(views)
    first = [await schedule(views, queue_id, start_time=at) for at in (LATER, START)][1]
    await react(views, "keep_timetable")
    mark = "SELECT next_due_at, next_callback_id FROM perezvon_1.queue_slots"
    assert await views.rows(mark) == [(START, first)]
    await schedule(views, queue_id, start_time=LATER)
    await react(views, "keep_timetable")
    assert await views.rows(mark) == [(START, first)]


@pytest.mark.parametrize(
    ("change", "is_marked"),
    [
        (QueueRulesChosen(rules=CallingRules(client_leg=Leg.A)), True),
        (QueueRulesChosen(rules=CallingRules()), True),
        (QueueDeleted(), True),
        (QueueRulesChosen(rules=CallingRules(client_leg=Leg.B)), False),
        (QueueLimitChanged(concurrent_task_limit=2), False),
    ],
)
async def test_a_queue_whose_callbacks_no_longer_wait_for_their_lines_is_marked_and_none_is_moved(
    views: Views, change: Fact, *, is_marked: bool
) -> None:
    queue_id, other = await open_queue(views), await open_queue(views)
    for one in (queue_id, other):
        await go_on(views, f"queue/{one}", QueueRulesChosen(rules=CHOSEN))
    waits, gone = await schedule(views, queue_id), await schedule(views, queue_id)
    await react(views, "keep_timetable")
    await views.do(
        "WITH moved AS (DELETE FROM perezvon_1.timetable RETURNING *)"
        " INSERT INTO perezvon_1.line_waits"
        " SELECT callback_id, queue_id, organization_id, due_at, position, a_line, b_line, 7 FROM moved"
    )
    await go_on(views, f"callback/{gone}", CallbackCancelled())
    await react(views, "keep_timetable")
    await go_on(views, f"queue/{queue_id}", change)
    await react(views, "keep_timetable")
    marks = "SELECT queue_id FROM perezvon_1.queue_slots WHERE freed_due_at = '-infinity'"
    assert await views.rows(marks) == ([(queue_id,)] if is_marked else [])
    assert await timetable(views) == {}
    assert await views.rows("SELECT callback_id FROM perezvon_1.line_waits") == [(waits,)]


async def test_a_queue_in_which_nothing_waits_for_a_line_is_not_marked(views: Views) -> None:
    for change in (QueueRulesChosen(rules=CHOSEN), QueueDeleted()):
        await go_on(views, f"queue/{await open_queue(views)}", change)
    await react(views, "keep_timetable")
    assert await views.rows("SELECT FROM perezvon_1.queue_slots WHERE freed_due_at IS NOT NULL") == []


async def test_what_is_cancelled_waits_no_more(views: Views) -> None:
    queue_id = await open_queue(views)
    kept, gone = await schedule(views, queue_id), await schedule(views, queue_id)
    await react(views, "keep_timetable")
    await go_on(views, f"callback/{gone}", CallbackCancelled())
    await react(views, "keep_timetable")
    assert (await timetable(views)).keys() == {kept}


@pytest.mark.parametrize("word", [(CallbackCancelled(),), (FINISHED, CallbackRemoved())])
async def test_the_call_of_a_callback_that_is_deleted_is_to_be_hung_up(views: Views, word: tuple[Any, ...]) -> None:
    queue_id = await open_queue(views)
    spared, deleted = [await schedule(views, queue_id, STARTED) for _ in range(2)]
    await react(views, "keep_timetable")
    await views.do(
        "INSERT INTO perezvon_1.open_calls (call_id, callback_id, queue_id, organization_id, attempt, position, gateway,"
        " fence, started_at) SELECT gen_random_uuid(), id, 1, 1, 1, 1, 'g', 1, now() FROM unnest(%s) AS id",
        [spared, deleted],
    )
    await go_on(views, f"callback/{deleted}", *word)
    async with counted_notifications(views, "timetable") as notified:
        await react(views, "keep_timetable")
        assert await notified() == 1
    rows = await views.rows("SELECT callback_id FROM perezvon_1.open_calls WHERE hang_up")
    assert rows == [(deleted,)]


async def test_a_batch_notifies_once_and_only_when_something_changed(views: Views) -> None:
    queue_id = await open_queue(views)
    ids = [await schedule(views, queue_id) for _ in range(20)]
    async with counted_notifications(views, "timetable") as notified:
        await react(views, "keep_timetable")
        assert await notified() == 1
        await go_on(views, f"callback/{ids[0]}", STARTED)
        await schedule(views, queue_id, STARTED)
        await react(views, "keep_timetable")
        assert await notified() == 1
        await go_on(views, f"queue/{queue_id}", QueueSwitchedOff())
        await react(views, "keep_timetable")
        assert await notified() == 2


async def test_a_parked_callback_that_is_brought_in_late_stands_where_it_would_stand_now(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id, waits, begun = await open_queue(views), new_number(), new_number()
    for callback_id, since in ((waits, ()), (begun, (STARTED,))):
        await views.record_raw(f"callback/{callback_id}", 1, SCHEDULED, b"{}")
        await views.record(f"callback/{callback_id}", CallbackDelayed(due_at=LATER), *since, version=1)
    await react(views, "keep_timetable")
    assert await timetable(views) == {}
    assert await views.rows("SELECT count(*) FROM perezvon_1.parked_streams WHERE name = 'keep_timetable'") == [(2,)]
    monkeypatch.setitem(UPCASTERS, SCHEDULED, lambda _: (SCHEDULED, encode(scheduled(queue_id=queue_id))))
    report = await retry_parked(service_dsn(views.dsn), "keep_timetable")
    assert report.still_parked == []
    assert [(key, row[0], row[2]) for key, row in (await timetable(views)).items()] == [(waits, queue_id, LATER)]
