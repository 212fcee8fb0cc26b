"""What follows a failed attempt: the contract's rule, or one that a queue or its organisation chose (telephony, Outcomes)."""

import msgspec

from domain.callback.events import Outcome
from domain.errors import InvalidField
from domain.limits import BACKOFF_MAX_S, FREE_CONGESTIONS_MAX, JITTER_MAX_PERCENT, PAUSE_MAX_S

_RULED = frozenset(Outcome) - {Outcome.SUCCESS, Outcome.LOST}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What follows one outcome: another try after ``pause`` seconds (None: the callback's own pause), or none at all."""

    retry: bool = True
    pause: int | None = None


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What follows each outcome; an empty one is the contract's rule: the callback's own pause until its tries are spent.

    A pause gets longer by up to ``jitter_percent`` of itself, so that calls that failed together are not repeated
    together. The first ``free_congestions`` congestions of a callback do not count against its tries; the pause after
    each is twice the one before, up to an hour. A lost call follows the contract's rule, jitter aside: a phone may have rung.
    """

    outcomes: dict[Outcome, Rule] = {}
    jitter_percent: int = 0
    free_congestions: int = 0

    def check(self, field: str = "retry_policy") -> None:
        """Raise InvalidField for what no policy can have."""
        for outcome, rule in self.outcomes.items():
            if outcome not in _RULED:
                raise InvalidField(f"{field}.outcomes.{outcome}", f"No rule can be set for {outcome}", "out_of_range")
            if rule.pause is not None and not 0 <= rule.pause <= PAUSE_MAX_S:
                raise InvalidField(
                    f"{field}.outcomes.{outcome}.pause", f"Expected 0 to {PAUSE_MAX_S} seconds", "out_of_range"
                )
        if not 0 <= self.jitter_percent <= JITTER_MAX_PERCENT:
            raise InvalidField(f"{field}.jitter_percent", f"Expected 0 to {JITTER_MAX_PERCENT}", "out_of_range")
        if not 0 <= self.free_congestions <= FREE_CONGESTIONS_MAX:
            raise InvalidField(f"{field}.free_congestions", f"Expected 0 to {FREE_CONGESTIONS_MAX}", "out_of_range")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed attempt as a policy sees it.

    ``tries_left`` counts what is left if the attempt counts; ``forgiven`` the attempts before it that did not count.
    ``pause`` is the callback's own, in seconds. ``chance``, from 0 to 1, is the attempt's share of the jitter.
    """

    outcome: Outcome
    tries_left: int
    forgiven: int
    pause: int
    chance: float


class Again(msgspec.Struct, frozen=True):
    """Another attempt, ``pause`` seconds after the failed one ended; ``is_free``: that one does not count."""

    pause: float
    is_free: bool = False


def after(failure: Failure, policy: RetryPolicy) -> Again | None:
    """Answer what follows the failure; None is nothing: the tries are spent, or the outcome is final."""
    rule = policy.outcomes.get(failure.outcome, Rule())
    if not rule.retry:
        return None
    is_free = failure.outcome is Outcome.CONGESTION and failure.forgiven < policy.free_congestions
    if not is_free and failure.tries_left < 1:
        return None
    pause = failure.pause if rule.pause is None else rule.pause
    if is_free:
        pause = max(pause, min(max(pause, 1) << failure.forgiven, BACKOFF_MAX_S))
    return Again(pause * (1 + failure.chance * policy.jitter_percent / 100), is_free)
