"""Reading queue_board: the list of queues, and how they stand."""

from datetime import datetime
from typing import Any

import msgspec

from application.queries.queue_board import Idle, QueuePage, QueueRow, QueueStanding, QueueStandings
from domain.callback_queue.events import QueueStatus
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement
from infrastructure.read_models.view_reader import read_view

_COLUMNS = QueueRow.__struct_fields__

QUEUES = statement(
    """
SELECT coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'queue_board'), 0), found.*
FROM (SELECT) AS always LEFT JOIN (
    SELECT <columns> FROM {schema}.queue_board
    WHERE organization_id = %(organization_id)s AND NOT is_deleted AND id > %(after)s
    ORDER BY id LIMIT %(limit)s OFFSET %(offset)s
) AS found ON true
ORDER BY found.id""".replace("<columns>", ", ".join(_COLUMNS))
)

# What waits and what runs is asked where the dispatcher keeps it: there it is of this moment.
_STANDINGS = """
SELECT least(
    coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'callback_list'), 0),
    coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'queue_board'), 0)
), q.id, q.name, q.status, q.concurrent_task_limit, coalesce(s.taken, 0),
    coalesce(c.scheduled, 0), coalesce(c.delayed, 0), coalesce(c.executed, 0), coalesce(c.success, 0),
    coalesce(c.failed, 0), coalesce(c.attempts_joined, 0), coalesce(c.attempts_failed, 0),
    oldest.due_at, coalesce(oldest.due_at <= clock_timestamp(), false),
    switches.are_there, switches.are_full
FROM (SELECT count(*) > 0 AS are_there, coalesce(bool_and(is_full), false) AS are_full FROM {schema}.gateway_leases
    WHERE link_up AND paused_until = '-infinity' AND until > clock_timestamp()
) AS switches LEFT JOIN (
    SELECT id, name, status, concurrent_task_limit FROM {schema}.queue_board
    WHERE organization_id = %(organization_id)s AND NOT is_deleted <which>
    ORDER BY id LIMIT %(limit)s
) AS q ON true
LEFT JOIN {schema}.callback_counts AS c ON c.queue_id = q.id AND c.organization_id = %(organization_id)s
LEFT JOIN {schema}.queue_slots AS s ON s.queue_id = q.id AND s.organization_id = %(organization_id)s
LEFT JOIN LATERAL (
    SELECT due_at FROM {schema}.timetable WHERE queue_id = q.id AND organization_id = %(organization_id)s
    ORDER BY due_at, callback_id LIMIT 1
) AS oldest ON true
ORDER BY q.id"""
STANDINGS = statement(_STANDINGS.replace("<which>", "AND id > %(after)s"))
STANDING = statement(_STANDINGS.replace("<which>", "AND id = %(queue_id)s"))


class _Found(msgspec.Struct, frozen=True):
    """A row of the board's query."""

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
    oldest_due: datetime | None
    is_due: bool
    switch_is_there: bool
    channels_are_full: bool


class PostgresQueueBoard:
    """The port ``QueueBoard`` on Postgres."""

    def __init__(self, reading: Pool) -> None:
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

    async def standings(
        self, organization_id: int, *, queue_id: int | None = None, after: int = 0, limit: int
    ) -> QueueStandings:
        """See the port."""
        query = STANDINGS if queue_id is None else STANDING
        values: dict[str, Any] = {
            "organization_id": organization_id,
            "queue_id": queue_id,
            "after": after,
            "limit": limit,
        }
        rows = await read_view(self._reading, query, values, prepare=True)
        return QueueStandings(
            items=[_standing(_Found(*row)) for row in rows if row[1] is not None], position=rows[0][0]
        )


def _standing(found: _Found) -> QueueStanding:
    ended = found.attempts_joined + found.attempts_failed
    return QueueStanding(
        id=found.id,
        name=found.name,
        status=found.status,
        concurrent_task_limit=found.concurrent_task_limit,
        taken=found.taken,
        waiting=found.waiting,
        delayed=found.delayed,
        running=found.running,
        succeeded=found.succeeded,
        failed=found.failed,
        answer_rate=round(found.attempts_joined / ended, 4) if ended else None,
        oldest_due=found.oldest_due,
        idle=_idle(found),
    )


def _idle(found: _Found) -> Idle | None:
    if found.status == QueueStatus.OFF:
        return Idle.OFF
    if not found.is_due:
        return Idle.NOTHING_DUE
    if not found.switch_is_there:
        return Idle.SWITCH_AWAY
    if found.taken >= found.concurrent_task_limit:
        return Idle.LIMIT_REACHED
    if found.channels_are_full:
        return Idle.CHANNELS_FULL
    return None
