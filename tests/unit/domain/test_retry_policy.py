"""Retry policies: the attempt that follows a failed one, by the contract's rule or by a policy."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.callback.callback import Callback
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    CallbackDelayed,
    CallbackFact,
    CallbackFinished,
    CallEnd,
    FinishResult,
    Leg,
    Outcome,
)
from domain.callback.retry_policy import Failure, NextAttempt, RetryPolicy, Rule, next_attempt
from domain.errors import InvalidField
from domain.limits import BACKOFF_MAX_S, FREE_CONGESTIONS_MAX, JITTER_MAX_PERCENT, PAUSE_MAX_S
from tests.support.histories import CONTRACT, RULED, call_id_of, callback_after, retry_policies

FAILURES = [outcome for outcome in Outcome if outcome not in {Outcome.SUCCESS, Outcome.NOT_DIALLED}]
SLOW = RetryPolicy(outcomes={outcome: Rule(pause=900) for outcome in RULED})
NEVER = RetryPolicy(outcomes={outcome: Rule(retry=False) for outcome in RULED})


def failure(outcome: Outcome, **fields: Any) -> Failure:
    """Return a first failure of a callback with a pause of a minute and one try left, or with the given fields."""
    defaults: dict[str, Any] = {"tries_left": 1, "forgiven": 0, "pause": 60, "chance": 0.0}
    return Failure(outcome=outcome, **(defaults | fields))


@pytest.mark.parametrize("outcome", FAILURES)
def test_without_a_policy_every_outcome_follows_the_contract(outcome: Outcome) -> None:
    assert next_attempt(failure(outcome, chance=1.0), CONTRACT) == NextAttempt(60)
    assert next_attempt(failure(outcome, tries_left=0), CONTRACT) is None


def test_an_attempt_that_was_not_dialled_is_free_and_repeated_at_once_under_every_policy() -> None:
    for policy in (RetryPolicy(), SLOW, NEVER):
        for tries_left in (0, 3):
            assert next_attempt(failure(Outcome.NOT_DIALLED, tries_left=tries_left), policy) == NextAttempt(
                0, is_free=True
            )


@pytest.mark.parametrize("outcome", RULED)
def test_each_outcome_has_a_pause_of_its_own_or_is_final(outcome: Outcome) -> None:
    alone = RetryPolicy(outcomes={outcome: Rule(pause=900)})
    assert next_attempt(failure(outcome), alone) == NextAttempt(900)
    assert next_attempt(failure(outcome, tries_left=0), alone) is None
    assert next_attempt(failure(outcome, tries_left=49), NEVER) is None
    for other in set(RULED) - {outcome}:
        assert next_attempt(failure(other), alone) == NextAttempt(60)


def test_a_lost_call_follows_the_contract_whatever_the_policy_has() -> None:
    for policy in (SLOW, NEVER, RetryPolicy(free_congestions=FREE_CONGESTIONS_MAX)):
        assert next_attempt(failure(Outcome.LOST), policy) == NextAttempt(60)
        assert next_attempt(failure(Outcome.LOST, tries_left=0), policy) is None


def test_congestions_are_free_so_many_times_and_the_pauses_double_up_to_an_hour() -> None:
    policy = RetryPolicy(free_congestions=8)
    pauses = [
        next_attempt(failure(Outcome.CONGESTION, forgiven=forgiven, tries_left=0), policy) for forgiven in range(9)
    ]
    doubled = [60, 120, 240, 480, 960, 1920, BACKOFF_MAX_S, BACKOFF_MAX_S]
    assert pauses == [*(NextAttempt(pause, is_free=True) for pause in doubled), None]
    assert next_attempt(failure(Outcome.CONGESTION, forgiven=8), policy) == NextAttempt(60)
    assert next_attempt(failure(Outcome.BUSY, tries_left=0), policy) is None


def test_a_pause_that_is_longer_than_an_hour_is_not_cut_and_one_of_nothing_grows() -> None:
    policy = RetryPolicy(free_congestions=FREE_CONGESTIONS_MAX)
    assert next_attempt(failure(Outcome.CONGESTION, pause=PAUSE_MAX_S), policy) == NextAttempt(
        PAUSE_MAX_S, is_free=True
    )
    assert next_attempt(failure(Outcome.CONGESTION, pause=0, forgiven=3), policy) == NextAttempt(8, is_free=True)


def test_a_congestion_that_is_final_is_not_free() -> None:
    policy = RetryPolicy(outcomes={Outcome.CONGESTION: Rule(retry=False)}, free_congestions=5)
    assert next_attempt(failure(Outcome.CONGESTION), policy) is None


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 60.0), (0.5, 66.0), (1.0, 72.0)])
def test_jitter_makes_a_pause_longer_by_a_share_of_itself(chance: float, pause: float) -> None:
    assert next_attempt(failure(Outcome.BUSY, chance=chance), RetryPolicy(jitter_percent=20)) == NextAttempt(pause)


failures = st.builds(
    Failure,
    outcome=st.sampled_from(FAILURES),
    tries_left=st.integers(0, 49),
    forgiven=st.integers(0, FREE_CONGESTIONS_MAX),
    pause=st.integers(0, 3_600) | st.just(PAUSE_MAX_S),
    chance=st.floats(0, 1),
)


@given(failures, retry_policies)
def test_a_pause_is_never_shorter_than_asked_nor_longer_than_jitter_allows(
    failed: Failure, policy: RetryPolicy
) -> None:
    again = next_attempt(failed, policy)
    rule = policy.outcomes.get(failed.outcome, Rule())
    if again is None:
        assert not rule.retry or failed.tries_left == 0
        return
    asked = failed.pause if rule.pause is None else rule.pause
    most = max(asked, BACKOFF_MAX_S) if again.is_free else asked
    assert asked <= again.pause <= most * (1 + policy.jitter_percent / 100) + 1e-6
    assert again.is_free == (failed.outcome is Outcome.CONGESTION and failed.forgiven < policy.free_congestions)
    assert again.is_free or failed.tries_left > 0


def follow(callback_facts: list[CallbackFact], outcome: Outcome, policy: RetryPolicy, **fields: Any) -> CallbackFact:
    """Fail the next attempt with that outcome, add the facts, and return the decision."""
    number = sum(isinstance(fact, AttemptStarted) for fact in callback_facts) + 1
    callback_facts += [
        AttemptStarted(attempt=number, call_id=call_id_of(number)),
        AttemptFailed(attempt=number, end=CallEnd(outcome=outcome, leg=Leg.B)),
    ]
    (decided,) = made(callback_facts, **fields).decide_retry(policy)
    callback_facts.append(decided)
    return decided


def made(facts: list[CallbackFact], **fields: Any) -> Callback:
    return callback_after(*facts, **fields)


@given(
    st.lists(st.sampled_from(FAILURES), min_size=80, max_size=80),
    st.one_of(st.just(Outcome.CONGESTION), st.sampled_from(FAILURES)),
    st.integers(1, 50),
    retry_policies,
)
@example([Outcome.CONGESTION] * 80, Outcome.BUSY, 50, RetryPolicy(free_congestions=FREE_CONGESTIONS_MAX))
def test_a_callback_that_always_fails_ends_and_no_more_attempts_count_than_it_has_tries(
    outcomes: list[Outcome], mostly: Outcome, tries: int, policy: RetryPolicy
) -> None:
    facts: list[CallbackFact] = []
    free = counted = 0
    for turn, outcome in enumerate(outcomes):
        decided = follow(facts, outcome if turn % 3 else mostly, policy, try_count=tries)
        is_free = isinstance(decided, CallbackDelayed) and bool(decided.is_free)
        free, counted = free + is_free, counted + (not is_free)
        assert free <= policy.free_congestions
        assert counted <= tries
        if isinstance(decided, CallbackFinished):
            return
    pytest.fail("the callback is retried forever")


@given(st.lists(st.sampled_from(FAILURES), min_size=1, max_size=50), st.integers(1, 50), st.integers(0, PAUSE_MAX_S))
def test_the_empty_policy_is_the_contracts_rule(outcomes: list[Outcome], tries: int, pause: int) -> None:
    facts: list[CallbackFact] = []
    for number, outcome in enumerate(outcomes, start=1):
        decided = follow(facts, outcome, CONTRACT, try_count=tries, try_again_pause=pause)
        failed_at = made(facts[:-1], try_count=tries).failed_at
        assert failed_at is not None
        if number == tries:
            assert isinstance(decided, CallbackFinished)
            assert decided.result is FinishResult.FAILED
            return
        assert decided == CallbackDelayed(due_at=failed_at + timedelta(seconds=pause))


def test_calls_that_failed_together_are_not_repeated_together() -> None:
    policy = RetryPolicy(jitter_percent=JITTER_MAX_PERCENT)
    due = {
        decided.due_at
        for number in range(1, 101)
        for decided in made(
            [
                AttemptStarted(attempt=1, call_id=call_id_of(number)),
                AttemptFailed(attempt=1, end=CallEnd(outcome=Outcome.BUSY)),
            ],
            try_again_pause=1000,
        ).decide_retry(policy)
        if isinstance(decided, CallbackDelayed)
    }
    assert len(due) == 100
    assert timedelta(seconds=100) < max(due) - min(due) <= timedelta(seconds=200)


BAD = [
    (RetryPolicy(outcomes={Outcome.SUCCESS: Rule()}), "retry_policy.outcomes.success"),
    (RetryPolicy(outcomes={Outcome.LOST: Rule()}), "retry_policy.outcomes.lost"),
    (RetryPolicy(outcomes={Outcome.BUSY: Rule(pause=-1)}), "retry_policy.outcomes.busy.pause"),
    (RetryPolicy(outcomes={Outcome.BUSY: Rule(pause=PAUSE_MAX_S + 1)}), "retry_policy.outcomes.busy.pause"),
    (RetryPolicy(jitter_percent=-1), "retry_policy.jitter_percent"),
    (RetryPolicy(jitter_percent=JITTER_MAX_PERCENT + 1), "retry_policy.jitter_percent"),
    (RetryPolicy(free_congestions=-1), "retry_policy.free_congestions"),
    (RetryPolicy(free_congestions=FREE_CONGESTIONS_MAX + 1), "retry_policy.free_congestions"),
]


@pytest.mark.parametrize(("policy", "field"), BAD)
def test_a_policy_that_cannot_be_is_refused_by_its_field(policy: RetryPolicy, field: str) -> None:
    with pytest.raises(InvalidField) as raised:
        policy.check()
    assert (raised.value.field, raised.value.kind) == (field, "out_of_range")


@given(retry_policies)
def test_every_other_policy_is_taken(policy: RetryPolicy) -> None:
    policy.check()
