"""Whenever a callback has to wait, it gets an entry in the timetable, and its queue has slots.

Decisions only: infrastructure/policies/keep_timetable.py reads and writes the rows.
"""

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


class NewSlots(msgspec.Struct, frozen=True):
    """The slots of a new queue: at most ``slots`` of its callbacks run at one time."""

    queue_id: int
    organization_id: int
    is_on: bool
    slots: int


class SlotChange(msgspec.Struct, kw_only=True):
    """Changes of a queue's slots; None changes nothing."""

    queue_id: int
    is_on: bool | None = None
    is_deleted: bool | None = None
    slots: int | None = None
    rules: CallingRules | None = None


class TimetableEntry(msgspec.Struct, frozen=True):
    """A callback that is due at ``due_at``, because of the event at log position ``position``, version ``version`` of its stream.

    ``a_line`` and ``b_line`` are the keys of the phone lines that it would ring.
    """

    callback_id: int
    queue_id: int
    organization_id: int
    due_at: datetime
    position: int
    version: int
    a_line: int
    b_line: int


class TimetableChanges(msgspec.Struct):
    """Changes that a batch of facts makes to queues and callbacks; entries by callback, changes by queue."""

    new_slots: list[NewSlots]
    slot_changes: dict[int, SlotChange]
    entries: dict[int, TimetableEntry]
    cancelled: set[int]
    """Callbacks that are cancelled or removed: their entries are deleted, and their calls are hung up."""


def plan_changes(events: Iterable[Recorded[Handled]], schedules: Mapping[str, CallbackScheduled]) -> TimetableChanges:
    """Return the changes that the events make, in their order; ``schedules`` holds the callbacks' first facts by stream."""
    changes = TimetableChanges(new_slots=[], slot_changes={}, entries={}, cancelled=set())
    for event in events:
        number = aggregate_number(event.stream)
        fact = event.fact
        match fact:
            case CallbackScheduled(start_time=due_at) | CallbackDelayed(due_at=due_at):
                changes.entries[number] = _entry(number, event, schedules[event.stream], due_at)
            case CallbackCancelled() | CallbackRemoved():
                changes.entries.pop(number, None)
                changes.cancelled.add(number)
            case QueueCreated(status=status, concurrent_task_limit=slots):
                is_on = status is QueueStatus.ON
                changes.new_slots.append(NewSlots(number, event.organization_id or 0, is_on, slots))
            case QueueLimitChanged() | QueueSwitchedOn() | QueueSwitchedOff() | QueueRulesChosen() | QueueDeleted():
                _change(changes.slot_changes.setdefault(number, SlotChange(queue_id=number)), fact)
            case _:
                assert_never(fact)
    return changes


def _entry(number: int, event: Recorded[Any], scheduled: CallbackScheduled, due_at: datetime) -> TimetableEntry:
    organization_id, details = event.organization_id or 0, scheduled.personal
    lines = (line_key(organization_id, details.a_number), line_key(organization_id, details.b_number))
    return TimetableEntry(number, scheduled.queue_id, organization_id, due_at, event.position, event.version, *lines)


def _change(slots: SlotChange, fact: QueueChanges) -> None:
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
