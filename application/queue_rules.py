"""Rule of calling rules: which retry policy is in effect for a queue."""

from enum import StrEnum

import msgspec

from domain.callback.retry_policy import RetryPolicy
from domain.callback_queue.events import CallingRules
from domain.organization.events import Settings


class PolicySource(StrEnum):
    """The source of a queue's retry policy."""

    QUEUE = "queue"
    ORGANIZATION = "organization"
    CONTRACT = "contract"


class EffectivePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The retry policy in effect, and its source; an empty policy is the rule of the contract."""

    retry_policy: RetryPolicy
    source: PolicySource


def effective_policy(rules: CallingRules, settings: Settings) -> EffectivePolicy:
    """Return the queue's own retry policy, else its organisation's, else the rule of the contract.

    ``infrastructure/policies/retry_callbacks.py`` applies the same order in SQL.
    """
    if rules.retry_policy is not None:
        return EffectivePolicy(retry_policy=rules.retry_policy, source=PolicySource.QUEUE)
    if settings.retry_policy is not None:
        return EffectivePolicy(retry_policy=settings.retry_policy, source=PolicySource.ORGANIZATION)
    return EffectivePolicy(retry_policy=RetryPolicy(), source=PolicySource.CONTRACT)
