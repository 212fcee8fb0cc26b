"""Cancellation of callbacks that wait in deleted queues."""

from collections.abc import Sequence
from datetime import datetime

from psycopg import AsyncConnection

from application.policies.decision import Decision, Facts
from domain.callback.callback import replay
from domain.callback.events import CallbackFact
from domain.model import Envelope
from domain.streams import callback_stream
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.quarantine import Quarantine
from infrastructure.dispatch.rests import run_with_rests
from infrastructure.event_log.decisions import decide_and_append, read_streams
from infrastructure.postgres.sql import statement

BATCH_MAX = 100

# Organisations are served round-robin, a batch each.
_LOCK = statement("""
    SELECT organization_id, queue_id, next_due_at, next_callback_id
    FROM {schema}.queue_slots
    WHERE is_deleted AND next_due_at < 'infinity' AND organization_id > %s AND queue_id <> ALL(%s)
    ORDER BY organization_id, queue_id
    LIMIT 1
    FOR UPDATE
""")
_DEQUEUE = statement("""
    DELETE FROM {schema}.timetable
    WHERE callback_id = ANY(ARRAY(
        SELECT callback_id
        FROM {schema}.timetable
        WHERE queue_id = %(queue)s
            AND (due_at, callback_id) >= (%(due)s, %(id)s)
            AND callback_id <> ALL(%(quarantined)s)
        ORDER BY due_at, callback_id
        LIMIT %(limit)s
    ))
    RETURNING callback_id, organization_id, position
""")
# The rows that are left in the end are those that cannot be read: the next leader begins with them.
_RAISE = statement("""
    UPDATE {schema}.queue_slots AS s
    SET next_due_at = coalesce(t.due_at, 'infinity'), next_callback_id = coalesce(t.callback_id, 0)
    FROM (VALUES (%(queue)s)) AS q (queue_id)
    LEFT JOIN LATERAL (
        SELECT due_at, callback_id
        FROM {schema}.timetable
        WHERE queue_id = q.queue_id AND (due_at, callback_id) >= (%(due)s, %(id)s)
        ORDER BY due_at, callback_id
        LIMIT 1
    ) AS t ON true
    WHERE s.queue_id = q.queue_id
""")

# callback_id, organization_id, position
_Row = tuple[int, int, int]


class DeletedQueueSweeper:
    """Cancels waiting callbacks in small batches, with rests between them. Live calls of the queue are left to end."""

    def __init__(self, term: LeadershipTerm) -> None:
        """Prepare to sweep for as long as the term lasts."""
        self._term = term
        self._quarantine = Quarantine()
        self._last = 0  # the organisation of the last batch
        self._unreadable = list[int]()  # queues that have nothing left that can be read

    async def run(self) -> None:
        """Sweep until cancelled. Raises Fenced, StorageUnavailable.

        A batch holds the log's lock for its commit, and the rests leave most of the time to the calls of others.
        """
        await run_with_rests(self.sweep)

    async def sweep(self) -> bool:
        """Cancel a batch of the next organisation's first queue; return whether there may be more to cancel.

        Raises Fenced, StorageUnavailable.
        """
        rows: list[_Row] = []
        try:
            async with self._term.transaction() as connection:
                locked = await connection.execute(_LOCK, (self._last, self._unreadable), prepare=False)
                if (found := await locked.fetchone()) is None:
                    return self._begin_again()
                self._last, *queue = found
                rows = await self._dequeue(connection, *queue)
                await _cancel(connection, rows)
        except ValueError as error:  # from reading: UnknownFact, or a stream that begins in its middle
            self._quarantine.batch_failed([callback_id for callback_id, *_ in rows], error)
            return True
        self._quarantine.batch_succeeded()
        if not rows:  # only what cannot be read is left
            self._unreadable.append(queue[0])
        return True

    def _begin_again(self) -> bool:
        """Begin with the first organisation; return whether there was another one before."""
        is_over, self._last = not self._last, 0
        if is_over:
            self._unreadable.clear()
        return not is_over

    async def _dequeue(
        self, connection: AsyncConnection, queue_id: int, due_at: datetime, callback_id: int
    ) -> list[_Row]:
        limit = min(BATCH_MAX, self._quarantine.batch_max)
        values = {"queue": queue_id, "due": due_at, "id": callback_id}
        chosen = values | {"quarantined": self._quarantine.ids, "limit": limit}
        deleted = await connection.execute(_DEQUEUE, chosen, prepare=False)
        await connection.execute(_RAISE, values, prepare=False)
        return await deleted.fetchall()


async def _cancel(connection: AsyncConnection, rows: Sequence[_Row]) -> None:
    streams = await read_streams(connection, [callback_stream(callback_id) for callback_id, *_ in rows])
    decisions = [
        Decision(
            stream=stream,
            decide=_delete,
            envelope=Envelope(
                organization_id=organization_id,
                actor="dispatcher",
                reason="the queue was deleted",
                causation=str(position),
                correlation=streams[stream][-1].correlation if streams[stream] else None,
            ),
            known=streams[stream],
        )
        for callback_id, organization_id, position in rows
        if (stream := callback_stream(callback_id))
    ]
    await decide_and_append(connection, decisions)


def _delete(facts: Facts) -> Sequence[CallbackFact]:
    callback = replay(facts)
    return callback.delete() if callback and callback.waits else []
