"""Retry policies as clients send them, over HTTP and on the command line: decoded strictly, with the path of each error."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain.callback.retry_policy import RetryPolicy
from domain.limits import FREE_CONGESTIONS_MAX, JITTER_MAX_PERCENT, PAUSE_MAX_S

Pause = Annotated[int, Meta(ge=0, le=PAUSE_MAX_S, description="Seconds; null: the callback's own try_again_pause.")]
Jitter = Annotated[
    int,
    Meta(
        ge=0,
        le=JITTER_MAX_PERCENT,
        description="Each pause is extended at random by up to this many percent of its length.",
    ),
]
Free = Annotated[
    int,
    Meta(
        ge=0,
        le=FREE_CONGESTIONS_MAX,
        description="This many congested attempts of a callback do not count as tries; the pause doubles after each of them.",
    ),
]


class ChosenRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rule of one outcome: retry after the pause, or do not retry."""

    retry: bool = True
    pause: Pause | None = None


class ChosenOutcomes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rule of each outcome. A missing outcome follows docs/contracts/task_scheduler.md: the callback's own pause."""

    busy: ChosenRule | UnsetType = UNSET
    no_answer: ChosenRule | UnsetType = UNSET
    rejected: ChosenRule | UnsetType = UNSET
    invalid_number: ChosenRule | UnsetType = UNSET
    congestion: ChosenRule | UnsetType = UNSET
    abandoned: ChosenRule | UnsetType = UNSET
    cancelled: ChosenRule | UnsetType = UNSET


class ChosenPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policy after a failed attempt. An empty policy is the rule of docs/contracts/task_scheduler.md."""

    outcomes: ChosenOutcomes = ChosenOutcomes()
    jitter_percent: Jitter = 0
    free_congestions: Free = 0


def policy_of(chosen: ChosenPolicy | None) -> RetryPolicy | None:
    """Return the policy of the domain, or None."""
    return msgspec.convert(msgspec.to_builtins(chosen), RetryPolicy | None)
