"""What can happen to a callback queue. Names and tags are for ever; a changed shape gets a new tag and an upcaster."""

from enum import StrEnum

import msgspec

from domain.callback.events import Leg
from domain.callback.retry_policy import RetryPolicy
from domain.model import Fact


class QueueStatus(StrEnum):
    """Whether the queue starts callbacks."""

    ON = "on"
    OFF = "off"


class CallingRules(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue calls, beyond the contract.

    ``retry_policy`` says what follows a failed attempt; None is the organisation's default. ``client_leg`` is the leg
    on which the client is: while a call with that number runs, no other is started; None bounds nothing.
    """

    retry_policy: RetryPolicy | None = None
    client_leg: Leg | None = None


class QueueCreated(Fact, frozen=True, kw_only=True, tag="queue.created.v1"):
    """A queue came to be; at most ``concurrent_task_limit`` of its callbacks run at one time."""

    name: str
    status: QueueStatus
    concurrent_task_limit: int
    comment: str | None = None


class QueueDescribed(Fact, frozen=True, kw_only=True, tag="queue.described.v1"):
    """Name or comment changed; the fact holds both as they are from now on."""

    name: str
    comment: str | None = None


class QueueLimitChanged(Fact, frozen=True, kw_only=True, tag="queue.limit_changed.v1"):
    """From now on at most so many callbacks run at one time; calls that run already are left to end."""

    concurrent_task_limit: int


class QueueSwitchedOn(Fact, frozen=True, kw_only=True, tag="queue.switched_on.v1"):
    """The queue starts what is due."""


class QueueSwitchedOff(Fact, frozen=True, kw_only=True, tag="queue.switched_off.v1"):
    """The queue starts nothing more; calls that run are left to end."""


class QueueRulesChosen(Fact, frozen=True, kw_only=True, tag="queue.rules_chosen.v1"):
    """The queue calls by these rules from now on; the fact holds them all."""

    rules: CallingRules


class QueueDeleted(Fact, frozen=True, kw_only=True, tag="queue.deleted.v1"):
    """The queue is gone, and with it what has not run in it."""


QueueFact = (
    QueueCreated
    | QueueDescribed
    | QueueLimitChanged
    | QueueSwitchedOn
    | QueueSwitchedOff
    | QueueRulesChosen
    | QueueDeleted
)
