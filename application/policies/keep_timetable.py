"""Whenever a callback has to wait, then it stands in the timetable, under a queue whose slots are known: the pure part."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, assert_never

import msgspec

from application.phone_line_key import line_key
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    CallEnded,
)
from domain.callback_queue.events import (
    CallingRules,
    QueueCreated,
    QueueDeleted,
    QueueDescribed,
    QueueLimitChanged,
    QueueRulesChosen,
    QueueStatus,
    QueueSwitchedOff,
    QueueSwitchedOn,
)
from domain.model import Recorded
from domain.streams import aggregate_number

QueueChanges = QueueLimitChanged | QueueSwitchedOn | QueueSwitchedOff | QueueRulesChosen | QueueDeleted
Handled = QueueCreated | QueueChanges | CallbackScheduled | CallbackDelayed | CallbackCancelled | CallbackRemoved
# The attempt starter deletes the row of the callback that it starts.
Ignored = QueueDescribed | AttemptStarted | AttemptSucceeded | AttemptFailed | CallEnded | CallbackFinished


class Slots(msgspec.Struct, kw_only=True):
    """What becomes of a queue; None leaves it as it is."""

    queue_id: int
    is_on: bool | None = None
    is_deleted: bool | None = None
    slots: int | None = None
    rules: CallingRules | None = None


class NewQueue(msgspec.Struct, frozen=True):
    """A queue that was not there before."""

    queue_id: int
    organization_id: int
    is_on: bool
    slots: int


class Due(msgspec.Struct, frozen=True):
    """A callback that waits from ``due_at`` on, because of the event at ``position``, its ``version``.

    ``a_line`` and ``b_line`` say whom it would ring.
    """

    callback_id: int
    queue_id: int
    organization_id: int
    due_at: datetime
    position: int
    version: int
    a_line: int
    b_line: int


class Plan(msgspec.Struct):
    """What a batch of facts makes of queues and callbacks."""

    opened: list[NewQueue]
    changed: dict[int, Slots]
    due: dict[int, Due]
    unwanted: set[int]
    """Callbacks that are no longer wanted: they wait no more, and their calls are hung up."""


def plan(events: Iterable[Recorded[Handled]], schedules: Mapping[str, CallbackScheduled]) -> Plan:
    """Answer what the events, in their order, make of queues and callbacks; ``schedules`` are the callbacks' by stream."""
    made = Plan(opened=[], changed={}, due={}, unwanted=set())
    for event in events:
        number = aggregate_number(event.stream)
        fact = event.fact
        match fact:
            case CallbackScheduled(start_time=due_at) | CallbackDelayed(due_at=due_at):
                made.due[number] = _due(number, event, schedules[event.stream], due_at)
            case CallbackCancelled() | CallbackRemoved():
                made.due.pop(number, None)
                made.unwanted.add(number)
            case QueueCreated(status=status, concurrent_task_limit=slots):
                is_on = status is QueueStatus.ON
                made.opened.append(NewQueue(number, event.organization_id or 0, is_on, slots))
            case QueueLimitChanged() | QueueSwitchedOn() | QueueSwitchedOff() | QueueRulesChosen() | QueueDeleted():
                _change(made.changed.setdefault(number, Slots(queue_id=number)), fact)
            case _:
                assert_never(fact)
    return made


def _due(number: int, event: Recorded[Any], scheduled: CallbackScheduled, due_at: datetime) -> Due:
    organization_id, who = event.organization_id or 0, scheduled.personal
    lines = (line_key(organization_id, who.a_number), line_key(organization_id, who.b_number))
    return Due(number, scheduled.queue_id, organization_id, due_at, event.position, event.version, *lines)


def _change(slots: Slots, fact: QueueChanges) -> None:
    match fact:
        case QueueLimitChanged(concurrent_task_limit=limit):
            slots.slots = limit
        case QueueSwitchedOn():
            slots.is_on = True
        case QueueSwitchedOff():
            slots.is_on = False
        case QueueRulesChosen(rules=rules):
            slots.rules = rules
        case QueueDeleted():
            slots.is_deleted = True
        case _:
            assert_never(fact)
