"""All facts that the log can contain, by tag."""

from typing import get_args

from domain.callback.events import CallbackCancelled, CallbackFact, CallbackRemoved
from domain.callback_queue.events import QueueDeleted, QueueFact, QueueSwitchedOff
from domain.model import Fact, tag_of
from domain.organization.events import MemberRemoved, OperatorRemoved, OrganizationFact, TokenRevoked
from domain.task.events import TaskCancelled, TaskCompleted, TaskFact, TaskFailed

AnyFact = TaskFact | OrganizationFact | QueueFact | CallbackFact

FACTS: dict[str, type[Fact]] = {tag_of(fact): fact for fact in get_args(AnyFact)}
"""The type of each fact by its tag. A test checks that tags are unique."""

ENDINGS = (
    TaskCompleted,
    TaskFailed,
    TaskCancelled,
    CallbackCancelled,
    CallbackRemoved,
    QueueSwitchedOff,
    QueueDeleted,
    MemberRemoved,
    OperatorRemoved,
    TokenRevoked,
)
"""Facts that end something: they are recorded also when the history is full."""
