"""Read models of callback queues: their list and the live board."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from domain.callback_queue.callback_queue import CallbackQueue


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as a list shows it; ``status`` is ``on`` or ``off``."""

    id: int
    organization_id: int
    version: int
    name: str
    comment: str | None
    status: str
    concurrent_task_limit: int
    created_at: datetime


class QueuePage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list of queues, as of one log position."""

    items: Sequence[QueueRow]
    position: int


class Idle(StrEnum):
    """Why a queue starts nothing just now; the first that holds, in this order.

    A switch is away, too, while it is left alone because its trunks carry nothing.
    """

    OFF = "off"
    NOTHING_DUE = "nothing_due"
    SWITCH_AWAY = "switch_away"
    LIMIT_REACHED = "limit_reached"
    CHANNELS_FULL = "channels_full"


class QueueStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands.

    ``waiting``, ``delayed``, ``running``, ``succeeded`` and ``failed`` count its callbacks, deleted ones left out;
    ``taken`` counts the calls that run, a call that goes on after its callback has finished among them. ``answer_rate``
    is the share of the attempts that joined A and B, of all whose outcome is known: None before the first.
    ``oldest_due`` is when the callback that waits longest is, or was, due. ``idle`` is None when something is starting.
    """

    id: int
    name: str
    status: str
    concurrent_task_limit: int
    taken: int
    waiting: int
    delayed: int
    running: int
    succeeded: int
    failed: int
    answer_rate: float | None
    oldest_due: datetime | None
    idle: Idle | None


class QueueStandings(msgspec.Struct, frozen=True, kw_only=True):
    """How queues stand: what of it comes from views is as of one log position, taken and due are as of now."""

    items: Sequence[QueueStanding]
    position: int


class QueueBoard(Protocol):
    """The queues of organisations, by id, without deleted ones."""

    async def queues(self, organization_id: int, *, after: int = 0, offset: int = 0, limit: int) -> QueuePage:
        """Answer at most ``limit`` queues whose ids are above ``after``, without the first ``offset`` of them.

        The view is ``queue_board``. Raises StorageUnavailable.
        """
        ...

    async def standings(
        self, organization_id: int, *, queue_id: int | None = None, after: int = 0, limit: int
    ) -> QueueStandings:
        """Answer how at most ``limit`` queues stand, or that one if it is there. Raises StorageUnavailable."""
        ...


def queue_row(queue: CallbackQueue) -> QueueRow:
    """Answer the queue as a list would show it."""
    return QueueRow(
        id=queue.id,
        organization_id=queue.organization_id,
        version=queue.version,
        name=queue.name,
        comment=queue.comment,
        status=queue.status,
        concurrent_task_limit=queue.concurrent_task_limit,
        created_at=queue.created_at,
    )
