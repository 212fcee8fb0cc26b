"""The CallbackQueue aggregate: state, decisions, and the effect of each fact."""

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

import msgspec
from msgspec.structs import replace

from domain.callback_queue.events import (
    CallingRules,
    QueueCreated,
    QueueDeleted,
    QueueDescribed,
    QueueFact,
    QueueLimitChanged,
    QueueRulesChosen,
    QueueStatus,
    QueueSwitchedOff,
    QueueSwitchedOn,
)
from domain.errors import AlreadyDeleted, InvalidField
from domain.limits import COMMENT_MAX, CONCURRENT_CALLBACKS_MAX, DEFAULT_CONCURRENT_CALLBACKS, NAME_MAX
from domain.model import Recorded, fold
from domain.streams import aggregate_number

DEFAULT_STATUS = QueueStatus.OFF
"""A new queue starts callbacks only after it is switched on."""


class CallbackQueue(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a queue after its facts up to ``version``."""

    id: int
    organization_id: int
    version: int
    name: str
    status: QueueStatus
    concurrent_task_limit: int
    created_at: datetime
    comment: str | None = None
    rules: CallingRules = CallingRules()
    is_deleted: bool = False

    def change(
        self,
        *,
        name: str | None = None,
        comment: str | None = None,
        status: QueueStatus | None = None,
        concurrent_task_limit: int | None = None,
    ) -> list[QueueFact]:
        """Change the fields; None leaves a field unchanged, and the current value again records nothing.

        A queue is switched on after its limit changes, and off before: it never runs with a limit that was not requested.
        Raises AlreadyDeleted, and InvalidField for an invalid value (docs/contracts/task_scheduler.md, Queue fields).
        """
        if self.is_deleted:
            raise AlreadyDeleted("queue")
        name, comment = name if name is not None else self.name, comment if comment is not None else self.comment
        limit = concurrent_task_limit if concurrent_task_limit is not None else self.concurrent_task_limit
        _check(name, comment, limit)
        facts: list[QueueFact] = []
        if (name, comment) != (self.name, self.comment):
            facts.append(QueueDescribed(name=name, comment=comment))
        if status is QueueStatus.OFF and self.status is QueueStatus.ON:
            facts.append(QueueSwitchedOff())
        if limit != self.concurrent_task_limit:
            facts.append(QueueLimitChanged(concurrent_task_limit=limit))
        if status is QueueStatus.ON and self.status is QueueStatus.OFF:
            facts.append(QueueSwitchedOn())
        return facts

    def choose_rules(self, rules: CallingRules) -> list[QueueFact]:
        """Replace the calling rules; the current rules again record nothing. Raises AlreadyDeleted, InvalidField."""
        if self.is_deleted:
            raise AlreadyDeleted("queue")
        if rules.retry_policy:
            rules.retry_policy.check()
        return [] if rules == self.rules else [QueueRulesChosen(rules=rules)]

    def delete(self) -> list[QueueFact]:
        """Delete the queue. Raises AlreadyDeleted."""
        if self.is_deleted:
            raise AlreadyDeleted("queue")
        return [QueueDeleted()]


def create(
    name: str,
    *,
    comment: str | None = None,
    status: QueueStatus = DEFAULT_STATUS,
    concurrent_task_limit: int = DEFAULT_CONCURRENT_CALLBACKS,
) -> list[QueueFact]:
    """Create a queue. Raises InvalidField for an invalid value (docs/contracts/task_scheduler.md, Queue fields)."""
    _check(name, comment, concurrent_task_limit)
    return [QueueCreated(name=name, comment=comment, status=status, concurrent_task_limit=concurrent_task_limit)]


FORMAT = 1
"""Number of this fold in snapshots: raise it when ``evolve`` or the fields of the state change (docs/adr/0019-snapshots.md)."""


def evolve(queue: CallbackQueue | None, event: Recorded[QueueFact]) -> CallbackQueue:
    """Return the queue after one more recorded fact; the first fact creates it."""
    fact = event.fact
    if isinstance(fact, QueueCreated):
        return CallbackQueue(
            id=aggregate_number(event.stream),
            organization_id=event.organization_id or 0,
            version=event.version,
            name=fact.name,
            comment=fact.comment,
            status=fact.status,
            concurrent_task_limit=fact.concurrent_task_limit,
            created_at=event.recorded_at,
        )
    if queue is None:
        msg = f"{event.stream} begins with {type(fact).__name__}"
        raise ValueError(msg)
    queue = replace(queue, version=event.version)
    match fact:
        case QueueDescribed(name=name, comment=comment):
            return replace(queue, name=name, comment=comment)
        case QueueLimitChanged(concurrent_task_limit=limit):
            return replace(queue, concurrent_task_limit=limit)
        case QueueSwitchedOn():
            return replace(queue, status=QueueStatus.ON)
        case QueueSwitchedOff():
            return replace(queue, status=QueueStatus.OFF)
        case QueueRulesChosen(rules=rules):
            return replace(queue, rules=rules)
        case QueueDeleted():
            return replace(queue, is_deleted=True)
        case _:
            assert_never(fact)


def replay(events: Iterable[Recorded[QueueFact]]) -> CallbackQueue | None:
    """Return the queue after all events of its stream, oldest first; None for an empty stream."""
    return fold(evolve, events)


def _check(name: str, comment: str | None, limit: int) -> None:
    if not 1 <= len(name.strip()) <= len(name) <= NAME_MAX:
        raise InvalidField("name", f"Expected 1 to {NAME_MAX} characters")
    if comment is not None and len(comment) > COMMENT_MAX:
        raise InvalidField("comment", f"Expected at most {COMMENT_MAX} characters")
    if not 1 <= limit <= CONCURRENT_CALLBACKS_MAX:
        raise InvalidField("concurrent_task_limit", f"Expected 1 to {CONCURRENT_CALLBACKS_MAX}")
