"""The verdict after a scenario: each attempt dialled once, each call with the right end, nothing forgotten.

The phones count the dials and their times; ended calls are read from Asterisk's own file.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import assert_never

import msgspec

from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    CallbackFact,
    CallEnd,
    CallEnded,
    Outcome,
)
from domain.model import Recorded
from tests.chaos.fault_scenarios import UP, FaultScenario, Kind
from tests.chaos.phones import PAUSE_S, Planned
from tests.support.callback_laws import check_history

History = Sequence[Recorded[CallbackFact]]


class Call(msgspec.Struct, frozen=True):
    """The call of an attempt, and how it ended; None while it has not."""

    id: str
    end: CallEnd | None

    @property
    def is_lost(self) -> bool:
        """Return whether its outcome is unknown."""
        return self.end is not None and self.end.outcome is Outcome.LOST


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Observations after a scenario: histories and the API's comments by the number of A, dials, and ledger rows.

    ``rung`` are the times at which each number was called, ``rows`` when the calls in Asterisk's ledger ended, in seconds
    of the epoch.
    """

    histories: Mapping[str, History]
    comments: Mapping[str, str | None]
    rung: Mapping[str, Sequence[float]]
    rows: Mapping[str, float]


class ScenarioResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result: of the calls that were ``up``, some were ``adopted``, some read from the ``ledger``, the others ``lost``.

    ``twice`` are dials beyond one for an attempt.
    """

    kind: str
    callbacks: int
    up: int
    adopted: int
    ledger: int
    lost: int
    dialled: int
    twice: int
    back_after_s: float
    faults: Sequence[str]


def judge(scenario: FaultScenario, seen: Seen) -> ScenarioResult:
    """Compare the observations with the scenario."""
    calls = [call for history in seen.histories.values() for call in calls_of(history)]
    lost = {call.id for call in calls if call.id in scenario.up and call.is_lost}
    ledger = {call_id for call_id in scenario.up - lost if seen.rows.get(call_id, scenario.back_at) < scenario.back_at}
    dialled = Counter({number: len(seen.rung.get(number, ())) for number in seen.histories})
    attempts = Counter({number: len(calls_of(history)) for number, history in seen.histories.items()})
    return ScenarioResult(
        kind=scenario.kind,
        callbacks=len(scenario.people),
        up=len(scenario.up),
        adopted=len(scenario.up - lost - ledger),
        ledger=len(ledger),
        lost=len(lost),
        dialled=dialled.total(),
        twice=(dialled - attempts).total(),
        back_after_s=round(scenario.back_after_s, 2),
        faults=[*_faults(scenario, seen)],
    )


def _faults(scenario: FaultScenario, seen: Seen) -> Iterator[str]:
    if len(scenario.up) < UP:
        yield f"only {len(scenario.up)} calls were up"
    for one in scenario.people:
        if not (history := seen.histories.get(one.a)):
            yield f"{one.a} is not recorded"
            continue
        yield from faults_of_dials(history, seen.rung.get(one.a, ()), seen.rung.get(one.b, ()))
        yield from faults_of_end(history, one, seen.comments.get(one.a))
        yield from faults_of_kind(history, scenario, seen, seen.rung.get(one.a, ()))
    if scenario.kind is Kind.LINK_CUT and (scenario.idle, scenario.started) != ("switch_away", 0):
        yield f"{scenario.started} attempts were started without a link, the board said {scenario.idle}"


def calls_of(history: History) -> Sequence[Call]:
    """Return the calls of a callback, in order."""
    ends: dict[int, CallEnd] = {}
    for event in history:
        if isinstance(event.fact, AttemptFailed | CallEnded):
            ends[event.fact.attempt] = event.fact.end
    started = [event.fact for event in history if isinstance(event.fact, AttemptStarted)]
    return [Call(fact.call_id, ends.get(fact.attempt)) for fact in started]


def faults_of_dials(history: History, a_rung: Sequence[float], b_rung: Sequence[float]) -> Iterator[str]:
    """Yield dials that were too many, too early after one another, or missing."""
    calls = calls_of(history)
    stream, attempts = history[0].stream, len(calls)
    if max(len(a_rung), len(b_rung)) > attempts:
        yield f"{stream}: A was dialled {len(a_rung)} times, B {len(b_rung)} times, in {attempts} attempts"
    if len(a_rung) < sum(was_surely_dialled(call) for call in calls):
        yield f"{stream}: A was dialled {len(a_rung)} times, {attempts} attempts are recorded"
    for before, after in pairwise(a_rung):
        if after - before < PAUSE_S:
            yield f"{stream}: dialled again after {after - before:.1f} s"


def was_surely_dialled(call: Call) -> bool:
    """Return whether the end of the call proves that a phone was dialled."""
    return call.end is not None and call.end.outcome not in {Outcome.LOST, Outcome.CONGESTION}


def faults_of_end(history: History, planned: Planned, comment: str | None) -> Iterator[str]:
    """Yield histories that break a law of callbacks, and ends that do not match the behaviour of the phones."""
    try:
        check_history(history)
    except AssertionError as error:
        yield f"{history[0].stream}: {error}"
    if comment is None or not comment.startswith(planned.comment):
        yield f"{history[0].stream} finished with {comment}, to finish with {planned.comment}"
    if any(call.end is None for call in calls_of(history)):
        yield f"{history[0].stream}: a call has not ended"


def faults_of_kind(history: History, scenario: FaultScenario, seen: Seen, a_rung: Sequence[float]) -> Iterator[str]:
    """Yield calls that are lost although the switch knew them, and attempts that were wasted."""
    stream, calls = history[0].stream, calls_of(history)
    lost = [call for call in calls if call.is_lost]
    match scenario.kind:
        case Kind.WORKER_KILLED:
            if lost and len(a_rung) > len(calls) - len(lost):
                yield f"{stream}: a call that A's phone saw is lost"
        case Kind.SWITCH_KILLED:
            for call in calls:
                if call.id in scenario.up and call.is_lost == (call.id in seen.rows):
                    yield f"{stream}: a call ended as {call.end}, its row was {seen.rows.get(call.id, 'lost too')}"
        case Kind.LINK_CUT:
            wasted = [call for call in calls if call.end and call.end.outcome in {Outcome.LOST, Outcome.CONGESTION}]
            if wasted:
                yield f"{stream}: {len(wasted)} attempts were wasted"
        case _:
            assert_never(scenario.kind)
