"""The contract's words for the outcomes of calls (docs/contracts/task_scheduler.md, Status; docs/asterisk.md)."""

import pytest

from domain.callback.events import CallEnd, Leg, Outcome
from domain.callback.outcomes import comment_of, word_of

WORDS = {
    Outcome.SUCCESS: "ANSWER",
    Outcome.BUSY: "BUSY",
    Outcome.NO_ANSWER: "NOANSWER",
    Outcome.REJECTED: "CHANUNAVAIL",
    Outcome.INVALID_NUMBER: "CHANUNAVAIL",
    Outcome.CONGESTION: "CONGESTION",
    Outcome.ABANDONED: "CANCEL",
    Outcome.CANCELLED: "CANCEL",
    Outcome.LOST: "CANCEL",
    Outcome.NOT_DIALLED: "CANCEL",
}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_each_outcome_has_the_contracts_word(outcome: Outcome) -> None:
    assert word_of(outcome) == WORDS[outcome]


@pytest.mark.parametrize("leg", list(Leg))
@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome not in {Outcome.SUCCESS, Outcome.LOST}])
def test_a_failure_is_told_by_the_word_the_leg_and_what_the_switch_said(outcome: Outcome, leg: Leg) -> None:
    told = f"{WORDS[outcome]} {leg.value} {outcome.value}"
    assert comment_of(CallEnd(outcome=outcome, leg=leg)) == told
    assert comment_of(CallEnd(outcome=outcome, leg=leg, sip="SIP 404 Not Found")) == f"{told} (SIP 404 Not Found)"


def test_a_failure_on_a_leg_that_nobody_knows_names_none() -> None:
    assert comment_of(CallEnd(outcome=Outcome.CANCELLED)) == "CANCEL cancelled"


@pytest.mark.parametrize("leg", [None, *Leg])
def test_a_lost_call_was_interrupted_wherever_it_was(leg: Leg | None) -> None:
    assert comment_of(CallEnd(outcome=Outcome.LOST, leg=leg, sip="SIP 180 Ringing")) == "CANCEL interrupted"


def test_a_success_names_the_leg_that_answered_last() -> None:
    assert comment_of(CallEnd(outcome=Outcome.SUCCESS, sip="SIP 200 OK", seconds=12.5)) == "ANSWER b"
