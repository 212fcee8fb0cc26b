"""Queries of queue_board: the list of queues, and the live board."""

from datetime import datetime
from typing import Any

import msgspec

from application.headroom import Usage
from application.queries.queue_board import Idle, QueueBoardPage, QueueBoardRow, QueuePage, QueueRow
from domain.callback_queue.events import QueueStatus
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.postgres.sql import load_statement, statement
from infrastructure.read_models.view_reader import read_view

_COLUMNS = QueueRow.__struct_fields__

QUEUES = statement(
    """
    SELECT coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'queue_board'), 0), found.*
    FROM (SELECT) AS always
    LEFT JOIN (
        SELECT <columns>
        FROM {schema}.queue_board
        WHERE organization_id = %(organization_id)s AND NOT is_deleted AND id > %(after)s
        ORDER BY id
        LIMIT %(limit)s
        OFFSET %(offset)s
    ) AS found ON true
    ORDER BY found.id
""".replace("<columns>", ", ".join(_COLUMNS))
)

# Reads the index only. An organisation has few queues: their number is limited.
COUNT = statement("""
    SELECT count(*), coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'queue_board'), 0)
    FROM {schema}.queue_board
    WHERE organization_id = %(organization_id)s AND NOT is_deleted
""")

# Counts come from projections, at the lower of their two log positions. Calls that run and callbacks that are due come
# from the dispatcher's tables, and so are live.
_BOARD = load_statement(__name__, "board.sql")
STANDINGS = _BOARD.replace(b"<queues>", b"AND id > %(after)s")
STANDING = _BOARD.replace(b"<queues>", b"AND id = %(queue_id)s")


class _BoardRow(msgspec.Struct, frozen=True):
    """A row of ``board.sql``."""

    position: int
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
    attempts_joined: int
    attempts_failed: int
    next_due: datetime | None
    is_due: bool
    held_by: str | None
    apart_since: datetime | None
    switch_is_there: bool
    switch_is_paused: bool
    probe_at: datetime | None
    channels_are_full: bool
    no_calls_until: datetime | None


class PostgresQueueBoard:
    """The port ``QueueBoard`` on Postgres."""

    def __init__(self, reading: SharedPool) -> None:
        """Read over ``reading``."""
        self._reading = reading

    async def queues(self, organization_id: int, *, after: int = 0, offset: int = 0, limit: int) -> QueuePage:
        """See the port."""
        values = {"organization_id": organization_id, "after": after, "offset": offset, "limit": limit}
        rows = await read_view(self._reading, QUEUES, values, prepare=True)
        return QueuePage(
            items=[QueueRow(**dict(zip(_COLUMNS, row[1:], strict=True))) for row in rows if row[1] is not None],
            position=rows[0][0],
        )

    async def rows(
        self, organization_id: int, *, queue_id: int | None = None, after: int = 0, limit: int
    ) -> QueueBoardPage:
        """See the port."""
        query = STANDINGS if queue_id is None else STANDING
        values: dict[str, Any] = {
            "organization_id": organization_id,
            "queue_id": queue_id,
            "after": after,
            "limit": limit,
        }
        rows = await read_view(self._reading, query, values, prepare=True)
        return QueueBoardPage(
            items=[_board_row(_BoardRow(*row)) for row in rows if row[1] is not None], position=rows[0][0]
        )

    async def count(self, organization_id: int) -> Usage:
        """See the port."""
        rows = await read_view(self._reading, COUNT, {"organization_id": organization_id}, prepare=True)
        return Usage(*rows[0])


def _board_row(row: _BoardRow) -> QueueBoardRow:
    idle = _idle(row)
    ended = row.attempts_joined + row.attempts_failed
    return QueueBoardRow(
        id=row.id,
        name=row.name,
        status=QueueStatus(row.status),
        concurrent_task_limit=row.concurrent_task_limit,
        taken=row.taken,
        waiting=row.waiting,
        delayed=row.delayed,
        running=row.running,
        succeeded=row.succeeded,
        failed=row.failed,
        answer_rate=round(row.attempts_joined / ended, 4) if ended else None,
        oldest_due=min((at for at in (row.next_due, row.apart_since) if at), default=None),
        idle=idle,
        idle_until=_idle_until(row, idle),
    )


def _idle(row: _BoardRow) -> Idle | None:
    if row.status == QueueStatus.OFF:
        return Idle.OFF
    if not row.is_due and row.apart_since is None:
        return Idle(row.held_by) if row.held_by else Idle.NOTHING_DUE
    return _idle_while_due(row)


def _idle_while_due(row: _BoardRow) -> Idle | None:
    if not row.switch_is_there:
        return Idle.SWITCH_AWAY
    if row.switch_is_paused:
        return Idle.BREAKER_OPEN
    if row.no_calls_until:
        return Idle.DAILY_QUOTA
    if not row.is_due:
        return Idle.CLIENT_BUSY
    if row.taken >= row.concurrent_task_limit:
        return Idle.LIMIT_REACHED
    if row.channels_are_full:
        return Idle.CHANNELS_FULL
    return None


def _idle_until(row: _BoardRow, idle: Idle | None) -> datetime | None:
    match idle:
        case Idle.NUMBER_QUOTA | Idle.NUMBER_CONGESTED | Idle.UNREADABLE:
            return row.next_due
        case Idle.BREAKER_OPEN:
            return row.probe_at
        case Idle.DAILY_QUOTA:
            return row.no_calls_until
        case _:
            return None
