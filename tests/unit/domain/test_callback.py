"""Given the facts of a callback, when a user or the switch acts, then these facts follow or the action is refused."""

from datetime import timedelta

import pytest

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
    CallEnd,
    CallEnded,
    FinishResult,
    Leg,
    Outcome,
)
from domain.callback.retry_policy import RetryPolicy
from domain.errors import AlreadyDeleted, NotWaiting
from tests.support.histories import BUSY, CALLBACK_ID, LOST, START, SUCCESS, call_id_of, recorded, scheduled
from tests.support.histories import callback_after as given

STARTED = AttemptStarted(attempt=1, call_id=call_id_of(1))
AGAIN = AttemptStarted(attempt=2, call_id=call_id_of(2))
FAILED = AttemptFailed(attempt=1, end=BUSY)
DELAYED = CallbackDelayed(due_at=START + timedelta(minutes=10))
JOINED: list[CallbackFact] = [
    AttemptSucceeded(attempt=1),
    CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b"),
]
ENDED = CallEnded(attempt=1, end=SUCCESS)
SPENT = CallbackFinished(result=FinishResult.FAILED, comment="BUSY a busy (SIP 486 Busy Here)")

WAYS: dict[str, list[CallbackFact]] = {
    "scheduled": [],
    "dialling": [STARTED],
    "failed, undecided": [STARTED, FAILED],
    "delayed": [STARTED, FAILED, DELAYED],
    "dialling again": [STARTED, FAILED, DELAYED, AGAIN],
    "talking": [STARTED, *JOINED],
    "succeeded": [STARTED, *JOINED, ENDED],
    "removed while talking": [STARTED, *JOINED, CallbackRemoved()],
    "removed": [STARTED, *JOINED, ENDED, CallbackRemoved()],
    "spent": [STARTED, FAILED, SPENT],
    "cancelled": [CallbackCancelled()],
    "cancelled while dialling": [STARTED, CallbackCancelled()],
    "cancelled after a failure": [STARTED, FAILED, CallbackCancelled()],
    "cancelled, call over": [STARTED, CallbackCancelled(), CallEnded(attempt=1, end=BUSY)],
}
STATUS_OF = {
    "scheduled": Status.SCHEDULED,
    "delayed": Status.DELAYED,
    "dialling": Status.EXECUTED,
    "dialling again": Status.EXECUTED,
    "failed, undecided": Status.EXECUTED,
    "talking": Status.FINISHED,
    "succeeded": Status.FINISHED,
    "removed while talking": Status.FINISHED,
    "removed": Status.FINISHED,
    "spent": Status.FINISHED,
    "cancelled": Status.CANCELLED,
    "cancelled while dialling": Status.CANCELLED,
    "cancelled after a failure": Status.CANCELLED,
    "cancelled, call over": Status.CANCELLED,
}
WAITING = {"scheduled", "delayed"}
DIALLING = {"dialling": 1, "dialling again": 2}
ENDING = {"talking": 1, "removed while talking": 1, "cancelled while dialling": 1}
"""Histories with a running call whose outcome no longer changes the callback, and its attempt."""

every_way = pytest.mark.parametrize("way", list(WAYS))


@every_way
def test_each_way_leads_to_its_status(way: str) -> None:
    callback = given(*WAYS[way])
    assert callback.status is STATUS_OF[way]
    assert callback.waits is (way in WAITING)
    assert callback.call_runs is (way in {*DIALLING, *ENDING})
    assert callback.is_deleted is way.startswith(("cancelled", "removed"))
    assert (callback.due_at is not None) is (way in WAITING)
    assert (callback.finish_result is not None) is (callback.status is Status.FINISHED)
    assert (callback.failed_at is not None) is (way == "failed, undecided")


@every_way
def test_an_attempt_is_started_only_while_the_callback_waits(way: str) -> None:
    callback = given(*WAYS[way])
    if way in WAITING:
        attempt = callback.attempt + 1
        assert callback.start_attempt("c-9") == [AttemptStarted(attempt=attempt, call_id="c-9")]
    else:
        with pytest.raises(NotWaiting, match=STATUS_OF[way].value):
            callback.start_attempt("c-9")


@every_way
@pytest.mark.parametrize("attempt", [0, 1, 2, 3])
def test_a_joined_call_is_a_success_once_and_of_the_running_attempt_only(way: str, attempt: int) -> None:
    decided = given(*WAYS[way]).call_joined(attempt)
    if DIALLING.get(way) == attempt:
        finished = CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b")
        assert decided == [AttemptSucceeded(attempt=attempt), finished]
    else:
        assert decided == []


@every_way
@pytest.mark.parametrize("attempt", [0, 1, 2, 3])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_end_is_told_once_and_of_the_running_call_only(way: str, attempt: int, outcome: Outcome) -> None:
    end = CallEnd(outcome=outcome, leg=Leg.A)
    callback = given(*WAYS[way])
    decided = callback.call_ended(attempt, end)
    if DIALLING.get(way) == attempt:
        success = [*callback.call_joined(attempt), CallEnded(attempt=attempt, end=end)]
        assert decided == (success if outcome is Outcome.SUCCESS else [AttemptFailed(attempt=attempt, end=end)])
    elif ENDING.get(way) == attempt:
        assert decided == [CallEnded(attempt=attempt, end=end)]
    else:
        assert decided == []


@every_way
def test_only_a_failed_attempt_leaves_something_to_decide(way: str) -> None:
    decided = given(*WAYS[way]).decide_retry(RetryPolicy())
    assert bool(decided) is (way == "failed, undecided")


@pytest.mark.parametrize("pause", [0, 60, 604_800])
def test_the_pause_counts_from_the_end_of_the_failed_attempt(pause: int) -> None:
    callback = given(STARTED, FAILED, try_count=2, try_again_pause=pause)
    failed_at = recorded([STARTED] * 3)[2].recorded_at
    assert callback.decide_retry(RetryPolicy()) == [CallbackDelayed(due_at=failed_at + timedelta(seconds=pause))]


@pytest.mark.parametrize("end", [BUSY, LOST, CallEnd(outcome=Outcome.CANCELLED, leg=Leg.B)])
def test_every_failed_attempt_counts_and_the_last_one_says_why(end: CallEnd) -> None:
    words = {Outcome.BUSY: SPENT.comment, Outcome.LOST: "CANCEL interrupted", Outcome.CANCELLED: "CANCEL b cancelled"}
    spent = [CallbackFinished(result=FinishResult.FAILED, comment=words[end.outcome])]
    assert given(STARTED, AttemptFailed(attempt=1, end=end), try_count=1).decide_retry(RetryPolicy()) == spent
    second = AttemptFailed(attempt=2, end=end)
    assert given(STARTED, FAILED, DELAYED, AGAIN, second, try_count=2).decide_retry(RetryPolicy()) == spent
    (again,) = given(STARTED, FAILED, DELAYED, AGAIN, second, try_count=3).decide_retry(RetryPolicy())
    assert isinstance(again, CallbackDelayed)


@every_way
def test_what_is_finished_is_removed_what_is_not_is_cancelled_and_what_is_gone_is_gone(way: str) -> None:
    callback = given(*WAYS[way])
    if callback.is_deleted:
        with pytest.raises(AlreadyDeleted, match="The callback is deleted"):
            callback.delete()
    else:
        gone = CallbackRemoved() if STATUS_OF[way] is Status.FINISHED else CallbackCancelled()
        assert callback.delete() == [gone]


def test_a_callback_knows_its_queue_its_parties_and_its_times() -> None:
    callback = given(b_number="+77010002002", name="Айгуль", start_time=START + timedelta(hours=1))
    assert (callback.id, callback.organization_id, callback.version) == (CALLBACK_ID, 1, 1)
    assert (callback.details.a_number, callback.details.b_number) == ("1001", "+77010002002")
    assert callback.details.name == "Айгуль"
    assert callback.due_at == START + timedelta(hours=1)
    later = given(STARTED)
    assert (later.created_at, later.updated_at) == (callback.created_at, callback.created_at + timedelta(minutes=1))


def test_the_call_id_and_the_end_are_those_of_the_last_attempt() -> None:
    again = given(STARTED, FAILED, DELAYED, AGAIN)
    assert (again.attempt, again.call_id) == (2, call_id_of(2))
    over = given(STARTED, FAILED, DELAYED, AGAIN, AttemptFailed(attempt=2, end=LOST))
    assert (over.call_id, over.last_end) == (call_id_of(2), LOST)
    assert given(STARTED, *JOINED, ENDED).last_end == SUCCESS


def test_a_delayed_callback_is_due_when_the_decision_says() -> None:
    assert given(STARTED, FAILED, DELAYED).due_at == DELAYED.due_at


def test_how_it_finished_stays_when_the_callback_is_removed() -> None:
    removed = given(*WAYS["spent"], CallbackRemoved())
    assert (removed.finish_result, removed.finish_comment) == (FinishResult.FAILED, SPENT.comment)


def test_a_stream_that_does_not_begin_with_a_scheduling_is_an_error() -> None:
    with pytest.raises(ValueError, match="begins with AttemptStarted"):
        replay(recorded([STARTED, scheduled()], stream=f"callback/{CALLBACK_ID}"))
    assert replay([]) is None
