"""Retry policies: what follows a failed attempt, by the contract's rule or by a queue's or organisation's own policy.

``application.policies.retry_callbacks`` applies them.
"""

import msgspec

from domain.callback.events import Outcome
from domain.errors import InvalidField
from domain.limits import BACKOFF_MAX_S, FREE_CONGESTIONS_MAX, JITTER_MAX_PERCENT, PAUSE_MAX_S

_RULED = frozenset(Outcome) - {Outcome.SUCCESS, Outcome.LOST, Outcome.NOT_DIALLED}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """The rule for one outcome: retry after ``pause`` seconds (None: the callback's own pause), or do not retry."""

    retry: bool = True
    pause: int | None = None


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The rule for each outcome. An empty policy is the contract's rule: the callback's own pause until no tries are left.

    Jitter extends a pause by up to ``jitter_percent`` of its length, so that calls that failed at the same time are not
    repeated at the same time. The first ``free_congestions`` congestions of a callback do not count as tries; the pause
    after each of them doubles, up to an hour (exponential backoff). A lost call always follows the contract's rule, with
    jitter, because a phone may have rung. An attempt that was not dialled is free under every policy, and repeated at once.
    """

    outcomes: dict[Outcome, Rule] = {}
    jitter_percent: int = 0
    free_congestions: int = 0

    def check(self, field: str = "retry_policy") -> None:
        """Raise InvalidField for an invalid value; ``field`` is the path of the policy in the request."""
        for outcome, rule in self.outcomes.items():
            if outcome not in _RULED:
                raise InvalidField(
                    f"{field}.outcomes.{outcome}", f"A rule for {outcome} is not allowed", "out_of_range"
                )
            if rule.pause is not None and not 0 <= rule.pause <= PAUSE_MAX_S:
                raise InvalidField(
                    f"{field}.outcomes.{outcome}.pause", f"Expected 0 to {PAUSE_MAX_S} seconds", "out_of_range"
                )
        if not 0 <= self.jitter_percent <= JITTER_MAX_PERCENT:
            raise InvalidField(f"{field}.jitter_percent", f"Expected 0 to {JITTER_MAX_PERCENT}", "out_of_range")
        if not 0 <= self.free_congestions <= FREE_CONGESTIONS_MAX:
            raise InvalidField(f"{field}.free_congestions", f"Expected 0 to {FREE_CONGESTIONS_MAX}", "out_of_range")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed attempt, as the input of a policy.

    ``tries_left`` is the number of tries left if this attempt counts; ``forgiven`` is the number of earlier congestions that
    did not count. ``pause`` is the callback's own pause in seconds. ``chance``, from 0 to 1, is the attempt's share of the
    jitter.
    """

    outcome: Outcome
    tries_left: int
    forgiven: int
    pause: int
    chance: float


class NextAttempt(msgspec.Struct, frozen=True):
    """The next attempt, ``pause`` seconds after the failed one ended; ``is_free``: the failed one does not count as a try."""

    pause: float
    is_free: bool = False


def next_attempt(failure: Failure, policy: RetryPolicy) -> NextAttempt | None:
    """Return the attempt that follows the failure, or None if no tries are left or the outcome is final."""
    if failure.outcome is Outcome.NOT_DIALLED:
        return NextAttempt(0.0, is_free=True)
    rule = policy.outcomes.get(failure.outcome, Rule())
    if not rule.retry:
        return None
    is_free = failure.outcome is Outcome.CONGESTION and failure.forgiven < policy.free_congestions
    if not is_free and failure.tries_left < 1:
        return None
    pause = failure.pause if rule.pause is None else rule.pause
    if is_free:
        pause = max(pause, min(max(pause, 1) << failure.forgiven, BACKOFF_MAX_S))
    return NextAttempt(pause * (1 + failure.chance * policy.jitter_percent / 100), is_free)
