"""After an ordeal: was each attempt dialled once, did each call come to the right end, was nothing forgotten?

Who was dialled, and when, is counted by the phones; which calls had ended is read from Asterisk's own file.
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
from tests.chaos.ordeals import UP, Kind, Ordeal
from tests.chaos.phones import PAUSE_S, Planned
from tests.support.callback_laws import check_history

History = Sequence[Recorded[CallbackFact]]


class Call(msgspec.Struct, frozen=True):
    """The call of an attempt, and how it ended; None while it has not."""

    id: str
    end: CallEnd | None

    @property
    def is_lost(self) -> bool:
        """Whether nobody knows what became of it."""
        return self.end is not None and self.end.outcome is Outcome.LOST


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is there after an ordeal: histories and the API's comments by the number of A, and what others saw.

    ``rung`` are the times at which each number was called, ``rows`` when the calls in Asterisk's ledger ended, in seconds
    of the epoch.
    """

    histories: Mapping[str, History]
    comments: Mapping[str, str | None]
    rung: Mapping[str, Sequence[float]]
    rows: Mapping[str, float]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Of the calls that were ``up``, some were ``adopted``, some read from the ``ledger``, the others ``lost``.

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


def judge(ordeal: Ordeal, seen: Seen) -> Found:
    """Hold what was seen against what was done."""
    calls = [call for history in seen.histories.values() for call in calls_of(history)]
    lost = {call.id for call in calls if call.id in ordeal.up and call.is_lost}
    ledger = {call_id for call_id in ordeal.up - lost if seen.rows.get(call_id, ordeal.back_at) < ordeal.back_at}
    dialled = Counter({number: len(seen.rung.get(number, ())) for number in seen.histories})
    attempts = Counter({number: len(calls_of(history)) for number, history in seen.histories.items()})
    return Found(
        kind=ordeal.kind,
        callbacks=len(ordeal.people),
        up=len(ordeal.up),
        adopted=len(ordeal.up - lost - ledger),
        ledger=len(ledger),
        lost=len(lost),
        dialled=dialled.total(),
        twice=(dialled - attempts).total(),
        back_after_s=round(ordeal.back_after_s, 2),
        faults=[*_faults(ordeal, seen)],
    )


def _faults(ordeal: Ordeal, seen: Seen) -> Iterator[str]:
    if len(ordeal.up) < UP:
        yield f"only {len(ordeal.up)} calls were up"
    for one in ordeal.people:
        if not (history := seen.histories.get(one.a)):
            yield f"{one.a} is not on record"
            continue
        yield from faults_of_dials(history, seen.rung.get(one.a, ()), seen.rung.get(one.b, ()))
        yield from faults_of_end(history, one, seen.comments.get(one.a))
        yield from faults_of_kind(history, ordeal, seen, seen.rung.get(one.a, ()))
    if ordeal.kind is Kind.LINK_CUT and (ordeal.idle, ordeal.started) != ("switch_away", 0):
        yield f"{ordeal.started} attempts were started without a link, the board said {ordeal.idle}"


def calls_of(history: History) -> Sequence[Call]:
    """Answer the calls of a callback, in their order."""
    ends: dict[int, CallEnd] = {}
    for event in history:
        if isinstance(event.fact, AttemptFailed | CallEnded):
            ends[event.fact.attempt] = event.fact.end
    started = [event.fact for event in history if isinstance(event.fact, AttemptStarted)]
    return [Call(fact.call_id, ends.get(fact.attempt)) for fact in started]


def faults_of_dials(history: History, a_rung: Sequence[float], b_rung: Sequence[float]) -> Iterator[str]:
    """Tell what the phones saw too often, too soon after one another, or not at all."""
    calls = calls_of(history)
    stream, attempts = history[0].stream, len(calls)
    if max(len(a_rung), len(b_rung)) > attempts:
        yield f"{stream}: A was dialled {len(a_rung)} times, B {len(b_rung)} times, in {attempts} attempts"
    if len(a_rung) < sum(was_surely_dialled(call) for call in calls):
        yield f"{stream}: A was dialled {len(a_rung)} times, {attempts} attempts are on record"
    for before, after in pairwise(a_rung):
        if after - before < PAUSE_S:
            yield f"{stream}: dialled again after {after - before:.1f} s"


def was_surely_dialled(call: Call) -> bool:
    """Whether the call's end is one that only a phone, or its silence, can have brought about."""
    return call.end is not None and call.end.outcome not in {Outcome.LOST, Outcome.CONGESTION}


def faults_of_end(history: History, planned: Planned, comment: str | None) -> Iterator[str]:
    """Tell whose history the contract forbids, and who did not come to the end that the phones' behaviour has."""
    try:
        check_history(history)
    except AssertionError as error:
        yield f"{history[0].stream}: {error}"
    if comment is None or not comment.startswith(planned.comment):
        yield f"{history[0].stream} finished with {comment}, to finish with {planned.comment}"
    if any(call.end is None for call in calls_of(history)):
        yield f"{history[0].stream}: a call has not ended"


def faults_of_kind(history: History, ordeal: Ordeal, seen: Seen, a_rung: Sequence[float]) -> Iterator[str]:
    """Tell which calls are lost although the switch knew of them, and which attempts were burnt."""
    stream, calls = history[0].stream, calls_of(history)
    lost = [call for call in calls if call.is_lost]
    match ordeal.kind:
        case Kind.WORKER_KILLED:
            if lost and len(a_rung) > len(calls) - len(lost):
                yield f"{stream}: a call that A's phone saw is lost"
        case Kind.SWITCH_KILLED:
            for call in calls:
                if call.id in ordeal.up and call.is_lost == (call.id in seen.rows):
                    yield f"{stream}: a call ended as {call.end}, its row was {seen.rows.get(call.id, 'lost too')}"
        case Kind.LINK_CUT:
            burnt = [call for call in calls if call.end and call.end.outcome in {Outcome.LOST, Outcome.CONGESTION}]
            if burnt:
                yield f"{stream}: {len(burnt)} attempts were burnt"
        case _:
            assert_never(ordeal.kind)
