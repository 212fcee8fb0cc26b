"""Aggregates of which snapshots are kept: those whose streams may become long.

Callbacks have none: the number of their tries bounds their streams. Attempts that were never sent to the switch are no tries, but
they are rare.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from domain.callback_queue import callback_queue
from domain.model import Recorded
from domain.organization import organization
from domain.streams import ORGANIZATION_PREFIX, QUEUE_PREFIX, TASK_PREFIX, prefix_of
from domain.task import task


class SnapshotFormat(NamedTuple):
    """The format of an aggregate's snapshots. ``topic`` contains the number of the fold: another number voids a snapshot."""

    topic: str
    state: type
    replay: Callable[[Iterable[Recorded[Any]]], Any]


SNAPSHOTS = {
    TASK_PREFIX: SnapshotFormat(f"task.snapshot.{task.FORMAT}", task.Task, task.replay),
    QUEUE_PREFIX: SnapshotFormat(
        f"queue.snapshot.{callback_queue.FORMAT}", callback_queue.CallbackQueue, callback_queue.replay
    ),
    ORGANIZATION_PREFIX: SnapshotFormat(
        f"organization.snapshot.{organization.FORMAT}", organization.Organization, organization.replay
    ),
}
"""The current formats, by the prefix of the streams."""


def snapshot_format(stream: str) -> SnapshotFormat | None:
    """Return the format of a stream's snapshots; None if there are none of its kind."""
    return SNAPSHOTS.get(prefix_of(stream))
