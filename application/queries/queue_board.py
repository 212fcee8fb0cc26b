"""Read models of callback queues: their list and the live board."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from application.headroom import Usage
from domain.callback_queue.callback_queue import CallbackQueue
from domain.callback_queue.events import QueueStatus


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the list of queues; ``status`` is ``on`` or ``off``."""

    id: int
    organization_id: int
    version: int
    name: str
    comment: str | None
    status: str
    concurrent_task_limit: int
    created_at: datetime


class QueuePage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list of queues at one log position."""

    items: Sequence[QueueRow]
    position: int


class Idle(StrEnum):
    """The reason why a queue starts no calls now: the first that applies, in this order.

    NUMBER_QUOTA, NUMBER_CONGESTED, UNREADABLE: the next callback was due, and is due later: because of attempts to its number
    in an hour, congestion of calls to it, or events that cannot be read. SWITCH_AWAY: no worker reaches the switch.
    BREAKER_OPEN: the trunks carry no calls, or none of this organisation. DAILY_QUOTA: the organisation has no calls left
    today. CLIENT_BUSY: a call with the client of each due callback runs. CHANNELS_FULL: no channel is free for the
    organisation.
    """

    OFF = "off"
    NOTHING_DUE = "nothing_due"
    NUMBER_QUOTA = "number_quota"
    NUMBER_CONGESTED = "number_congested"
    UNREADABLE = "unreadable"
    SWITCH_AWAY = "switch_away"
    BREAKER_OPEN = "breaker_open"
    DAILY_QUOTA = "daily_quota"
    CLIENT_BUSY = "client_busy"
    LIMIT_REACHED = "limit_reached"
    CHANNELS_FULL = "channels_full"


class QueueBoardRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the live board: a queue with its counts.

    ``waiting``, ``delayed``, ``running``, ``succeeded`` and ``failed`` count its callbacks without deleted ones. ``taken``
    counts its running calls, with calls that continue after their callback has finished. ``answer_rate`` is the share of
    attempts that joined A and B among all with a known outcome: None before the first. ``oldest_due`` is the due time of
    the callback that waits longest. ``idle`` is None while calls start; ``idle_until`` is when that reason ends, if it is known.
    """

    id: int
    name: str
    status: QueueStatus
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
    idle_until: datetime | None = None


class QueueBoardPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the live board. Counts come from projections at one log position; ``taken`` and ``oldest_due`` are live."""

    items: Sequence[QueueBoardRow]
    position: int


class QueueBoard(Protocol):
    """The queues of organisations, by id, without deleted ones."""

    async def queues(self, organization_id: int, *, after: int = 0, offset: int = 0, limit: int) -> QueuePage:
        """Return at most ``limit`` queues with ids above ``after``, without the first ``offset`` of them.

        The view is ``queue_board``. Raises StorageUnavailable.
        """
        ...

    async def rows(
        self, organization_id: int, *, queue_id: int | None = None, after: int = 0, limit: int
    ) -> QueueBoardPage:
        """Return at most ``limit`` rows of the board, or the row of ``queue_id`` if it exists. Raises StorageUnavailable."""
        ...

    async def count(self, organization_id: int) -> Usage:
        """Return the number of queues of the organisation. Raises StorageUnavailable."""
        ...


def queue_row(queue: CallbackQueue) -> QueueRow:
    """Return the list row of a queue."""
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
