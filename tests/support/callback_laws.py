"""Laws of every callback's history, made by hypothesis or by workers that were killed."""

import itertools
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFact,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    CallEnded,
    FinishResult,
    Outcome,
)
from domain.callback.retry_policy import RetryPolicy, Rule
from domain.limits import BACKOFF_MAX_S
from domain.model import Recorded
from tests.support.histories import CONTRACT

_LETTERS: dict[type[CallbackFact], str] = {
    CallbackScheduled: "n",
    AttemptStarted: "s",
    AttemptSucceeded: "j",
    AttemptFailed: "f",
    CallEnded: "e",
    CallbackDelayed: "d",
    CallbackFinished: "x",
    CallbackCancelled: "c",
    CallbackRemoved: "r",
}
_ROUNDING_S = 1e-6
_LEGAL = re.compile(
    r"n(sfd)*"  # failed tries; then
    r"(|s|sf"  # it waits, is dialled, or has failed and the policy has not decided yet,
    r"|sfxr?"  # or no tries are left,
    r"|sjx(|e|er|r|re)"  # or A and B were joined, and the call ends before or after the removal of the callback,
    r"|c|sce?|sfc)"  # or it was cancelled while it waited, dialled, or had failed
)


def check_history(events: Sequence[Recorded[CallbackFact]], policies: Collection[RetryPolicy] = (CONTRACT,)) -> None:
    """Assert that the stream, read between two appends, is allowed by the contract and by one of the policies.

    Attempts are numbered from 1, never more than the tries but for free ones, each call ends once and before the next is
    started; at most one success, with its finish; finished or cancelled once; a pause counts from the failure that it
    follows.
    """
    shape = "".join(_LETTERS[type(event.fact)] for event in events)
    assert _LEGAL.fullmatch(shape), f"{events[0].stream}: {shape}"
    assert [event.version for event in events] == [*range(1, len(events) + 1)]
    scheduled = events[0].fact
    assert isinstance(scheduled, CallbackScheduled)
    attempt, forgiven, congestions, call_ids = 0, 0, 0, set[str]()
    for before, event in itertools.pairwise(events):
        match event.fact:
            case AttemptStarted(attempt=started, call_id=call_id):
                attempt += 1
                call_ids.add(call_id)
                assert started == attempt <= scheduled.try_count + forgiven
            case AttemptSucceeded(attempt=told) | AttemptFailed(attempt=told) | CallEnded(attempt=told):
                assert told == attempt
            case CallbackDelayed(due_at=due_at, is_free=is_free):
                again = _Again((due_at - before.recorded_at).total_seconds(), bool(is_free), congestions)
                asked = scheduled.try_again_pause
                outcome = _outcome_of(before)
                assert any(_follows(again, outcome, asked, policy) for policy in policies)
                forgiven += bool(is_free)
                congestions += bool(is_free) and outcome is Outcome.CONGESTION
            case CallbackFinished(result=FinishResult.SUCCESS):
                assert isinstance(before.fact, AttemptSucceeded)
            case CallbackFinished():
                is_spent = attempt == scheduled.try_count + forgiven
                outcome = _outcome_of(before)
                assert is_spent or any(not _rule(outcome, policy).retry for policy in policies)
            case _:
                pass
    assert len(call_ids) == attempt, "a call id was used twice"


class _Again(NamedTuple):
    """A delay: the pause before the next attempt in seconds, whether the failed one is free, and how many came before it."""

    pause: float
    is_free: bool
    forgiven: int


def _follows(again: _Again, outcome: Outcome, asked: int, policy: RetryPolicy) -> bool:
    """Return whether the policy allows this delay after the outcome, for a callback whose own pause is ``asked``."""
    if outcome is Outcome.NOT_DIALLED:
        return again.is_free and again.pause == 0
    rule = _rule(outcome, policy)
    may_be_free = outcome is Outcome.CONGESTION and again.forgiven < policy.free_congestions
    least = asked if rule.pause is None else rule.pause
    most = max(least, BACKOFF_MAX_S) if again.is_free else least
    in_time = least <= again.pause <= most * (1 + policy.jitter_percent / 100) + _ROUNDING_S
    return rule.retry and again.is_free == may_be_free and in_time


def _rule(outcome: Outcome, policy: RetryPolicy) -> Rule:
    return policy.outcomes.get(outcome, Rule())


def _outcome_of(event: Recorded[CallbackFact]) -> Outcome:
    assert isinstance(event.fact, AttemptFailed)
    return event.fact.end.outcome
