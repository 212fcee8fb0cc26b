"""Facts of a callback queue. Names and tags never change; a fact with other fields gets a new tag and an upcaster."""

from enum import StrEnum

import msgspec

from domain.callback.events import Leg
from domain.callback.retry_policy import RetryPolicy
from domain.model import Fact


class QueueStatus(StrEnum):
    """ON: the queue starts callbacks. OFF: it does not."""

    ON = "on"
    OFF = "off"


class CallingRules(msgspec.Struct, frozen=True, kw_only=True):
    """The calling rules of a queue, which the contract does not have.

    ``retry_policy`` applies to failed attempts; None means the organisation's default. ``client_leg`` is the leg of the
    client: only one call at a time runs with a client's number; None sets no such limit.
    """

    retry_policy: RetryPolicy | None = None
    client_leg: Leg | None = None


class QueueCreated(Fact, frozen=True, kw_only=True, tag="queue.created.v1"):
    """A queue was created; at most ``concurrent_task_limit`` of its callbacks run at one time."""

    name: str
    status: QueueStatus
    concurrent_task_limit: int
    comment: str | None = None


class QueueDescribed(Fact, frozen=True, kw_only=True, tag="queue.described.v1"):
    """Name or comment changed; the fact contains the new values of both."""

    name: str
    comment: str | None = None


class QueueLimitChanged(Fact, frozen=True, kw_only=True, tag="queue.limit_changed.v1"):
    """At most this many callbacks run at one time from now on; running calls are not interrupted."""

    concurrent_task_limit: int


class QueueSwitchedOn(Fact, frozen=True, kw_only=True, tag="queue.switched_on.v1"):
    """The queue starts due callbacks from now on."""


class QueueSwitchedOff(Fact, frozen=True, kw_only=True, tag="queue.switched_off.v1"):
    """The queue starts no callbacks from now on; running calls are not interrupted."""


class QueueRulesChosen(Fact, frozen=True, kw_only=True, tag="queue.rules_chosen.v1"):
    """The queue uses these calling rules from now on; the fact contains all of them."""

    rules: CallingRules


class QueueDeleted(Fact, frozen=True, kw_only=True, tag="queue.deleted.v1"):
    """The queue is deleted, with the callbacks that still wait in it."""


QueueFact = (
    QueueCreated
    | QueueDescribed
    | QueueLimitChanged
    | QueueSwitchedOn
    | QueueSwitchedOff
    | QueueRulesChosen
    | QueueDeleted
)
