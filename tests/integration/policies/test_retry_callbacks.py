"""The policy retry_callbacks: whenever an attempt failed, the callback is delayed, finished or cancelled."""

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from psycopg.types.json import Jsonb

from application.policies.retry_callbacks import QueueRetrySettings, retry_or_finish
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFact,
    CallbackFinished,
    CallEnd,
    CallEnded,
    FinishResult,
    Leg,
    Outcome,
)
from domain.callback.retry_policy import RetryPolicy, Rule
from domain.callback_queue.events import CallingRules, QueueDeleted, QueueRulesChosen
from domain.model import tag_of
from infrastructure.operations.retry_parked import retry_parked
from infrastructure.postgres.connections import service_dsn
from tests.support.histories import BUSY, CALLBACK_ID, START, call_id_of, recorded, scheduled
from tests.support.policies import (
    failed_attempt,
    go_on,
    history,
    open_queue,
    organization,
    react,
    schedule,
    tags,
)
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio

STREAM = f"callback/{CALLBACK_ID}"
DELETED = QueueRetrySettings(is_deleted=True)
SLOW, NEVER = (
    RetryPolicy(outcomes={Outcome.BUSY: Rule(pause=1000)}),
    RetryPolicy(outcomes={Outcome.BUSY: Rule(retry=False)}),
)
CONGESTED = CallEnd(outcome=Outcome.CONGESTION, leg=Leg.A, sip="SIP 503 Service Unavailable", cause=34)
SPENT = CallbackFinished(result=FinishResult.FAILED, comment="BUSY a busy (SIP 486 Busy Here)")


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


def test_a_failed_attempt_is_followed_by_a_pause_that_counts_from_its_end() -> None:
    events = recorded([scheduled(try_count=2, try_again_pause=90), *failed_attempt()], STREAM)
    assert retry_or_finish(events, QueueRetrySettings()) == [
        CallbackDelayed(due_at=START + timedelta(minutes=3) + timedelta(seconds=90))
    ]


@pytest.mark.parametrize("queue", [QueueRetrySettings(), QueueRetrySettings(is_deleted=True)])
def test_after_the_last_try_the_callback_has_failed(queue: QueueRetrySettings) -> None:
    events = recorded([scheduled(try_count=1), *failed_attempt()], STREAM)
    assert retry_or_finish(events, queue) == [SPENT]


def test_in_a_deleted_queue_there_is_no_other_attempt() -> None:
    events = recorded([scheduled(try_count=2), *failed_attempt()], STREAM)
    assert retry_or_finish(events, DELETED) == [CallbackCancelled()]


def test_what_did_not_fail_or_is_decided_already_is_left_alone() -> None:
    started = AttemptStarted(attempt=1, call_id=call_id_of(1))
    assert retry_or_finish([], QueueRetrySettings()) == []
    assert retry_or_finish(recorded([scheduled(), started], STREAM), QueueRetrySettings()) == []
    for after in (CallbackDelayed(due_at=START), CallbackCancelled()):
        assert retry_or_finish(recorded([scheduled(), *failed_attempt(), after], STREAM), QueueRetrySettings()) == []
    ended = [scheduled(), started, CallbackCancelled(), CallEnded(attempt=1, end=BUSY)]
    assert retry_or_finish(recorded(ended, STREAM), QueueRetrySettings()) == []


async def test_each_failed_attempt_of_a_batch_is_decided_and_says_why(views: Views) -> None:
    queue_id = await open_queue(views)
    again = await schedule(views, queue_id, *failed_attempt(), try_count=2)
    spent = await schedule(views, queue_id, *failed_attempt(), try_count=1)
    runs = await schedule(views, queue_id, *failed_attempt()[:1])
    await react(views, "retry_callbacks")
    assert await tags(views, f"callback/{again}") == ["scheduled", "attempt_started", "attempt_failed", "delayed"]
    assert (await history(views, f"callback/{spent}"))[-1].fact == SPENT
    assert await tags(views, f"callback/{runs}") == ["scheduled", "attempt_started"]
    failed, delayed = (await history(views, f"callback/{again}"))[-2:]
    assert (delayed.actor, delayed.causation, delayed.correlation, delayed.organization_id) == (
        "policy/retry_callbacks",
        str(failed.position),
        failed.correlation,
        1,
    )


async def test_a_second_failure_of_the_same_callback_is_decided_too(views: Views) -> None:
    callback_id = await schedule(views, await open_queue(views), *failed_attempt(), try_count=2)
    await react(views, "retry_callbacks")
    await go_on(views, f"callback/{callback_id}", *failed_attempt(2))
    await react(views, "retry_callbacks")
    assert (await tags(views, f"callback/{callback_id}"))[3:] == [
        "delayed",
        "attempt_started",
        "attempt_failed",
        "finished",
    ]


async def test_in_a_queue_that_was_deleted_a_failed_attempt_was_the_last(views: Views) -> None:
    queue_id, other = await open_queue(views), await open_queue(views)
    await go_on(views, f"queue/{queue_id}", QueueDeleted())
    doomed = await schedule(views, queue_id, *failed_attempt())
    spent = await schedule(views, queue_id, *failed_attempt(), try_count=1)
    spared = await schedule(views, other, *failed_attempt())
    await react(views, "keep_timetable", "retry_callbacks")
    last = [(await history(views, f"callback/{number}"))[-1] for number in (doomed, spent, spared)]
    assert [tag_of(event.fact) for event in last] == [
        "callback.cancelled.v1",
        "callback.finished.v1",
        "callback.delayed.v1",
    ]
    assert [event.reason for event in last] == ["the queue was deleted", None, None]


async def test_who_cancels_before_it_is_decided_is_obeyed(views: Views) -> None:
    callback_id = await schedule(views, await open_queue(views), *failed_attempt(), CallbackCancelled())
    await react(views, "retry_callbacks")
    assert (await tags(views, f"callback/{callback_id}"))[-1] == "cancelled"


async def choose(views: Views, queue_id: int, policy: RetryPolicy | None) -> None:
    """Record the retry policy that a queue has from now on."""
    await go_on(views, f"queue/{queue_id}", QueueRulesChosen(rules=CallingRules(retry_policy=policy)))
    await react(views, "keep_timetable")


async def pause_after(views: Views, *facts: CallbackFact, queue_id: int) -> float | None:
    """Record a failed attempt in the queue; return the seconds until the next one, None when there is none."""
    stream = f"callback/{await schedule(views, queue_id, *(facts or failed_attempt()))}"
    await react(views, "retry_callbacks")
    failed, decided = (await history(views, stream))[-2:]
    if not isinstance(decided.fact, CallbackDelayed):
        return None
    return (decided.fact.due_at - failed.recorded_at).total_seconds()


async def test_a_queue_follows_its_own_policy_else_its_organisations_else_the_contract(views: Views) -> None:
    await organization(views)
    queue_id = await open_queue(views)
    await react(views, "keep_timetable")
    assert await pause_after(views, queue_id=queue_id) == 60
    await views.do(
        "UPDATE perezvon_1.organizations SET settings = settings || %s",
        Jsonb({"retry_policy": msgspec.to_builtins(SLOW)}),
    )
    assert await pause_after(views, queue_id=queue_id) == 1000
    await choose(views, queue_id, NEVER)
    assert await pause_after(views, queue_id=queue_id) is None
    await choose(views, queue_id, RetryPolicy())
    assert await pause_after(views, queue_id=queue_id) == 60
    await choose(views, queue_id, None)
    assert await pause_after(views, queue_id=queue_id) == 1000


async def test_a_policy_is_of_no_other_queue_and_no_other_organisation(views: Views) -> None:
    await organization(views, retry_policy=NEVER)
    await organization(views, 2)
    mine, other, theirs = await open_queue(views), await open_queue(views), await open_queue(views, organization_id=2)
    await choose(views, mine, SLOW)
    pauses = [await pause_after(views, queue_id=queue_id) for queue_id in (mine, other, theirs)]
    assert pauses == [1000, None, 60]


async def test_a_settings_row_of_before_there_were_policies_means_the_contract(views: Views) -> None:
    await organization(views)
    await views.do("UPDATE perezvon_1.organizations SET settings = settings - 'retry_policy'")
    queue_id = await open_queue(views)
    await react(views, "keep_timetable")
    assert await pause_after(views, queue_id=queue_id) == 60


async def test_a_free_congestion_is_on_record_as_free_and_spends_no_try(views: Views) -> None:
    queue_id = await open_queue(views)
    await choose(views, queue_id, RetryPolicy(free_congestions=2))
    stream = f"callback/{await schedule(views, queue_id, try_count=1)}"
    decided: list[CallbackFact] = []
    for attempt in (1, 2, 3):
        started = AttemptStarted(attempt=attempt, call_id=call_id_of(attempt))
        await go_on(views, stream, started, AttemptFailed(attempt=attempt, end=CONGESTED))
        await react(views, "retry_callbacks")
        decided.append((await history(views, stream))[-1].fact)
    first, second, last = decided
    assert isinstance(first, CallbackDelayed)
    assert isinstance(second, CallbackDelayed)
    assert (first.is_free, second.is_free) == (True, True)
    assert last == CallbackFinished(
        result=FinishResult.FAILED, comment="CONGESTION a congestion (SIP 503 Service Unavailable)"
    )


async def test_a_policy_that_cannot_be_read_holds_up_its_own_queue_alone(views: Views) -> None:
    broken, sound = await open_queue(views), await open_queue(views)
    await react(views, "keep_timetable")
    await views.do("UPDATE perezvon_1.queue_slots SET retry_policy = '{\"outcomes\": 5}' WHERE queue_id = %s", broken)
    held_up, waits = [await schedule(views, queue_id, *failed_attempt()) for queue_id in (broken, sound)]
    await react(views, "retry_callbacks")
    assert (await tags(views, f"callback/{held_up}"))[-1] == "attempt_failed"
    assert (await tags(views, f"callback/{waits}"))[-1] == "delayed"
    await views.do("UPDATE perezvon_1.queue_slots SET retry_policy = NULL WHERE queue_id = %s", broken)
    report = await retry_parked(service_dsn(views.dsn), "retry_callbacks")
    assert report.still_parked == []
    assert (await tags(views, f"callback/{held_up}"))[-1] == "delayed"
