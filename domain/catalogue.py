"""All facts that the log can contain, by tag."""

from typing import get_args

from domain.callback.events import CallbackFact
from domain.callback_queue.events import QueueFact
from domain.model import Fact, tag_of
from domain.organization.events import OrganizationFact
from domain.task.events import TaskFact

AnyFact = TaskFact | OrganizationFact | QueueFact | CallbackFact

FACTS: dict[str, type[Fact]] = {tag_of(fact): fact for fact in get_args(AnyFact)}
"""The type of each fact by its tag. A test checks that tags are unique."""
