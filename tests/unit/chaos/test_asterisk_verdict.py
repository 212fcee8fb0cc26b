"""The verdict of `./run chaos --asterisk` finds each violation."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackDelayed,
    CallbackFact,
    CallbackFinished,
    CallEnd,
    CallEnded,
    FinishResult,
    Outcome,
)
from tests.chaos.asterisk_verdict import History, Seen, judge
from tests.chaos.fault_scenarios import UP, FaultScenario, Kind
from tests.chaos.phones import PAUSE_S, Planned
from tests.support.histories import LOST, START, SUCCESS, call_id_of, recorded, scheduled

ONE = Planned(a="+79029900001", b="+79020200002", comment="ANSWER b")
OTHERS = frozenset(f"another call {number}" for number in range(UP - 1))
CONGESTION = CallEnd(outcome=Outcome.CONGESTION)
BACK_AT = 1000.0


def history(*facts: CallbackFact) -> History:
    first = scheduled(ONE.a, ONE.b, try_count=2, try_again_pause=PAUSE_S)
    return recorded([first, *facts], "callback/65")


def joined(attempt: int = 1) -> Sequence[CallbackFact]:
    return (
        AttemptStarted(attempt=attempt, call_id=call_id_of(attempt)),
        AttemptSucceeded(attempt=attempt),
        CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b"),
        CallEnded(attempt=attempt, end=SUCCESS),
    )


def failed(end: CallEnd) -> Sequence[CallbackFact]:
    return (
        AttemptStarted(attempt=1, call_id=call_id_of(1)),
        AttemptFailed(attempt=1, end=end),
        CallbackDelayed(due_at=START + timedelta(minutes=3, seconds=PAUSE_S)),  # the failure is the third event
    )


ADOPTED = history(*joined())
RETRIED = history(*failed(LOST), *joined(2))


def scenario(kind: Kind = Kind.WORKER_KILLED, **changes: Any) -> FaultScenario:
    extra: dict[str, Any] = {"idle": "switch_away"} if kind is Kind.LINK_CUT else {}
    one = FaultScenario(
        kind=kind, queues=[1], people=[ONE], up=OTHERS | {call_id_of(1)}, back_at=BACK_AT, back_after_s=2.0, **extra
    )
    return msgspec.structs.replace(one, **changes)


def seen(recorded_history: History = ADOPTED, a_rung: Sequence[float] = (900.0,), **changes: Any) -> Seen:
    one = Seen(
        histories={ONE.a: recorded_history},
        comments={ONE.a: ONE.comment},
        rung={ONE.a: a_rung, ONE.b: a_rung[-1:]},
        rows={call_id_of(1): BACK_AT + 1},
    )
    return msgspec.structs.replace(one, **changes)


def test_a_call_that_goes_on_is_adopted_and_no_fault() -> None:
    found = judge(scenario(), seen())
    assert (found.faults, found.adopted, found.ledger, found.lost, found.twice) == ([], UP, 0, 0, 0)


def test_a_call_that_ended_meanwhile_was_read_from_the_ledger() -> None:
    found = judge(scenario(), seen(rows={call_id_of(1): BACK_AT - 1}))
    assert (found.faults, found.ledger) == ([], 1)


def test_a_call_that_asterisk_forgot_is_lost_and_dialled_again_after_the_pause() -> None:
    found = judge(scenario(Kind.SWITCH_KILLED), seen(RETRIED, (900.0, 900.0 + PAUSE_S), rows={}))
    assert (found.faults, found.lost, found.dialled, found.twice) == ([], 1, 2, 0)


def test_a_link_that_was_cut_costs_nothing() -> None:
    assert judge(scenario(Kind.LINK_CUT), seen()).faults == []


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Kind.WORKER_KILLED, {"a_rung": (900.0, 960.0)}),  # twice for one attempt
        (Kind.WORKER_KILLED, {"a_rung": ()}),  # joined, although no phone rang
        (Kind.WORKER_KILLED, {"recorded_history": RETRIED, "a_rung": (900.0, 960.0)}),  # lost, though the phone rang
        (Kind.SWITCH_KILLED, {"recorded_history": RETRIED, "a_rung": (900.0, 900.1), "rows": {}}),  # immediately
        (Kind.SWITCH_KILLED, {"recorded_history": RETRIED, "a_rung": (900.0, 960.0)}),  # lost, though there is a row
        (Kind.SWITCH_KILLED, {"rows": {}}),  # not lost, though there is none
        (
            Kind.LINK_CUT,
            {"recorded_history": history(*failed(CONGESTION), *joined(2)), "a_rung": (960.0,)},
        ),  # an attempt is burnt
        (Kind.LINK_CUT, {"comments": {ONE.a: "BUSY b busy"}}),
        (Kind.LINK_CUT, {"comments": {ONE.a: None}}),
        (Kind.LINK_CUT, {"recorded_history": history(*[*joined()][:3])}),  # the call has not ended
        (Kind.LINK_CUT, {"histories": {}}),
    ],
)
def test_what_breaks_a_promise_is_a_fault(kind: Kind, changes: dict[str, Any]) -> None:
    assert len(judge(scenario(kind), seen(**changes)).faults) == 1


@pytest.mark.parametrize("changes", [{"idle": None}, {"started": 1}, {"up": frozenset({call_id_of(1)})}])
def test_an_ordeal_in_which_attempts_were_started_or_that_was_none_is_a_fault(changes: dict[str, Any]) -> None:
    assert len(judge(scenario(Kind.LINK_CUT, **changes), seen()).faults) == 1


def test_a_second_dial_for_an_attempt_is_counted() -> None:
    assert judge(scenario(), seen(a_rung=(900.0, 960.0, 1020.0))).twice == 2
