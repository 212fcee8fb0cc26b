"""Retry policies as they are asked for: checked strictly, each fault at its place (telephony, Outcomes)."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain.callback.retry_policy import FREE_CONGESTIONS_MAX, JITTER_MAX_PERCENT, PAUSE_MAX_S, RetryPolicy

Pause = Annotated[int, Meta(ge=0, le=PAUSE_MAX_S, description="Seconds; null: the callback's own try_again_pause.")]
Jitter = Annotated[
    int, Meta(ge=0, le=JITTER_MAX_PERCENT, description="A pause gets longer by up to this many percent of itself.")
]
Free = Annotated[
    int,
    Meta(
        ge=0,
        le=FREE_CONGESTIONS_MAX,
        description="So many congestions of a callback do not count as tries; each pause is twice the one before.",
    ),
]


class ChosenRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What follows one outcome: another try after the pause, or none at all."""

    retry: bool = True
    pause: Pause | None = None


class ChosenOutcomes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What follows each outcome; one that is left out follows the contract: the callback's own pause."""

    busy: ChosenRule | UnsetType = UNSET
    no_answer: ChosenRule | UnsetType = UNSET
    rejected: ChosenRule | UnsetType = UNSET
    invalid_number: ChosenRule | UnsetType = UNSET
    congestion: ChosenRule | UnsetType = UNSET
    abandoned: ChosenRule | UnsetType = UNSET
    cancelled: ChosenRule | UnsetType = UNSET


class ChosenPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What follows a failed attempt; an empty policy is the contract's rule."""

    outcomes: ChosenOutcomes = ChosenOutcomes()
    jitter_percent: Jitter = 0
    free_congestions: Free = 0


def policy_of(chosen: ChosenPolicy | None) -> RetryPolicy | None:
    """Answer the policy that was asked for, if any."""
    return msgspec.convert(msgspec.to_builtins(chosen), RetryPolicy | None)
