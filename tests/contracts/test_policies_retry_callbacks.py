"""The policy retry_callbacks: whenever an attempt failed, then the callback is delayed, finished or cancelled."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from domain.callback.events import (
    AttemptStarted,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFinished,
    CallEnded,
    FinishResult,
)
from domain.callback_queue.events import QueueDeleted
from infrastructure.policies.retry_callbacks import retry
from tests.support.histories import BUSY, CALLBACK_ID, START, call_id_of, recorded, scheduled
from tests.support.policies import failed_attempt, go_on, history, open_queue, react, schedule, tags
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio

STREAM = f"callback/{CALLBACK_ID}"
SPENT = CallbackFinished(result=FinishResult.FAILED, comment="BUSY a busy (SIP 486 Busy Here)")


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


def test_a_failed_attempt_is_followed_by_a_pause_that_counts_from_its_end() -> None:
    events = recorded([scheduled(try_count=2, try_again_pause=90), *failed_attempt()], STREAM)
    assert retry(events, queue_is_deleted=False) == [
        CallbackDelayed(due_at=START + timedelta(minutes=3) + timedelta(seconds=90))
    ]


@pytest.mark.parametrize("queue_is_deleted", [False, True])
def test_after_the_last_try_the_callback_has_failed(queue_is_deleted: bool) -> None:  # noqa: FBT001 - a parameter of the test
    events = recorded([scheduled(try_count=1), *failed_attempt()], STREAM)
    assert retry(events, queue_is_deleted=queue_is_deleted) == [SPENT]


def test_in_a_deleted_queue_there_is_no_other_attempt() -> None:
    events = recorded([scheduled(try_count=2), *failed_attempt()], STREAM)
    assert retry(events, queue_is_deleted=True) == [CallbackCancelled()]


def test_what_did_not_fail_or_is_decided_already_is_left_alone() -> None:
    started = AttemptStarted(attempt=1, call_id=call_id_of(1))
    assert retry([], queue_is_deleted=False) == []
    assert retry(recorded([scheduled(), started], STREAM), queue_is_deleted=False) == []
    for after in (CallbackDelayed(due_at=START), CallbackCancelled()):
        assert retry(recorded([scheduled(), *failed_attempt(), after], STREAM), queue_is_deleted=False) == []
    ended = [scheduled(), started, CallbackCancelled(), CallEnded(attempt=1, end=BUSY)]
    assert retry(recorded(ended, STREAM), queue_is_deleted=False) == []


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
    spared = await schedule(views, other, *failed_attempt())
    await react(views, "keep_timetable", "retry_callbacks")
    assert (await tags(views, f"callback/{doomed}"))[-1] == "cancelled"
    assert (await tags(views, f"callback/{spared}"))[-1] == "delayed"


async def test_who_cancels_before_it_is_decided_is_obeyed(views: Views) -> None:
    callback_id = await schedule(views, await open_queue(views), *failed_attempt(), CallbackCancelled())
    await react(views, "retry_callbacks")
    assert (await tags(views, f"callback/{callback_id}"))[-1] == "cancelled"
