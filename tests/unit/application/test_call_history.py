"""Records of calls: times, outcome and legs, by the facts of the callback."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from application.call_history import CallRecord, call_record
from application.queries.call_history import Dialled
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
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
from tests.support.histories import BUSY, CALLBACK_ID, LOST, START, SUCCESS, call_id_of, recorded, scheduled

STARTED = AttemptStarted(attempt=1, call_id=call_id_of(1))
JOINED = [AttemptSucceeded(attempt=1), CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b")]
STREAM = f"callback/{CALLBACK_ID}"


def minutes(number: int) -> timedelta:
    """Return the time after the start at which the fact with that number, from 1, was recorded."""
    return timedelta(minutes=number)


def after(*facts: CallbackFact, attempt: int = 1) -> CallRecord:
    """Return the call of the attempt after a callback was scheduled and these facts were recorded, a minute apart."""
    return call_record(recorded([scheduled(), *facts], STREAM), Dialled(callback_id=CALLBACK_ID, attempt=attempt))


def answered(call: CallRecord) -> Sequence[bool | None]:
    return [call.answered(leg) for leg in Leg]


def test_of_a_call_that_runs_only_its_start_is_known() -> None:
    call = after(STARTED)
    assert (call.call_id, call.organization_id, call.callback_id, call.attempt) == (call_id_of(1), 1, CALLBACK_ID, 1)
    assert call.started_at == START + minutes(2)
    assert (call.joined_at, call.ended_at, call.end, call.outcome, call.seconds) == (None, None, None, None, None)
    assert answered(call) == [None, None]


def test_a_call_is_a_success_from_the_moment_of_joining_on() -> None:
    call = after(STARTED, *JOINED)
    assert (call.joined_at, call.ended_at, call.outcome) == (START + minutes(3), None, Outcome.SUCCESS)
    assert answered(call) == [True, True]


def test_a_joined_call_that_has_ended_tells_all_its_times() -> None:
    call = after(STARTED, *JOINED, CallEnded(attempt=1, end=SUCCESS))
    assert (call.joined_at, call.ended_at) == (START + minutes(3), START + minutes(5))
    assert (call.seconds, call.end) == (180.0, SUCCESS)


@pytest.mark.parametrize("outcome", [Outcome.LOST, Outcome.CANCELLED])
def test_whatever_ends_a_call_that_was_joined_it_stays_a_success(outcome: Outcome) -> None:
    call = after(STARTED, *JOINED, CallEnded(attempt=1, end=CallEnd(outcome=outcome)))
    assert (call.outcome, answered(call)) == (Outcome.SUCCESS, [True, True])
    assert (call.seconds is None) == (outcome is Outcome.LOST)


def test_when_the_joining_was_heard_of_with_the_end_only_nobody_knows_when_it_was() -> None:
    facts = [scheduled(), STARTED, *JOINED, CallEnded(attempt=1, end=SUCCESS)]
    events = [replace(event, recorded_at=START) if event.version > 2 else event for event in recorded(facts, STREAM)]
    call = call_record(events, Dialled(callback_id=CALLBACK_ID, attempt=1))
    assert (call.is_joined, call.joined_at, call.ended_at) == (True, None, START)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (CallEnd(outcome=Outcome.BUSY, leg=Leg.A), [False, False]),
        (CallEnd(outcome=Outcome.CANCELLED, leg=Leg.A), [False, False]),
        (CallEnd(outcome=Outcome.NO_ANSWER, leg=Leg.B), [True, False]),
        (CallEnd(outcome=Outcome.CANCELLED, leg=Leg.B), [True, False]),
        (CallEnd(outcome=Outcome.ABANDONED, leg=Leg.A), [True, False]),
        (CallEnd(outcome=Outcome.CONGESTION), [None, None]),
        (LOST, [None, None]),
    ],
)
def test_the_leg_that_failed_tells_which_phones_were_answered(end: CallEnd, expected: list[bool | None]) -> None:
    call = after(STARTED, AttemptFailed(attempt=1, end=end))
    assert (call.outcome, answered(call)) == (end.outcome, expected)
    assert call.seconds == (None if end is LOST else 60.0)


def test_a_cancelled_callback_s_call_ends_as_the_switch_tells() -> None:
    cancelled = CallEnd(outcome=Outcome.CANCELLED, leg=Leg.B)
    call = after(STARTED, CallbackCancelled(), CallEnded(attempt=1, end=cancelled))
    assert (call.outcome, call.ended_at) == (Outcome.CANCELLED, START + minutes(4))


def test_each_attempt_has_a_call_of_its_own() -> None:
    facts = [
        STARTED,
        AttemptFailed(attempt=1, end=BUSY),
        CallbackDelayed(due_at=START),
        AttemptStarted(attempt=2, call_id=call_id_of(2)),
        AttemptSucceeded(attempt=2),
    ]
    first, second = after(*facts), after(*facts, attempt=2)
    assert (first.call_id, first.outcome, first.ended_at) == (call_id_of(1), Outcome.BUSY, START + minutes(3))
    assert (second.call_id, second.outcome, second.started_at) == (call_id_of(2), Outcome.SUCCESS, START + minutes(5))
    assert second.ended_at is None


def test_an_attempt_that_was_never_started_has_no_record() -> None:
    with pytest.raises(ValueError, match="no attempt 2"):
        after(STARTED, attempt=2)
