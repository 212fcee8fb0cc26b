"""Cancellation of callbacks that wait in deleted queues."""

from collections.abc import Sequence

from psycopg import AsyncConnection

from application.policies.decision import Decision, Facts
from domain.callback.callback import replay
from domain.callback.events import CallbackFact
from domain.model import Envelope
from domain.streams import callback_stream
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.quarantine import Quarantine
from infrastructure.event_log.decisions import decide_and_append, read_streams
from infrastructure.postgres.sql import statement

_LOCK = statement("""
    SELECT queue_id
    FROM {schema}.queue_slots AS s
    WHERE is_deleted
        AND EXISTS (
            SELECT
            FROM {schema}.timetable AS t
            WHERE t.queue_id = s.queue_id AND t.callback_id <> ALL(%s)
        )
    ORDER BY queue_id
    FOR UPDATE
""")
_DEQUEUE = statement("""
    DELETE FROM {schema}.timetable
    WHERE callback_id = ANY(ARRAY(
        SELECT t.callback_id
        FROM {schema}.queue_slots AS s,
            LATERAL (
                SELECT callback_id
                FROM {schema}.timetable
                WHERE queue_id = s.queue_id AND callback_id <> ALL(%(quarantined)s)
                ORDER BY due_at
                LIMIT %(limit)s
            ) AS t
        WHERE s.is_deleted
        LIMIT %(limit)s
    ))
    RETURNING callback_id, organization_id, position
""")

# callback_id, organization_id, position
_Row = tuple[int, int, int]


class DeletedQueueSweeper:
    """Cancels waiting callbacks batch by batch. Live calls of the queue are left to end."""

    def __init__(self, term: LeadershipTerm) -> None:
        """Prepare to sweep for as long as the term lasts."""
        self._term = term
        self._quarantine = Quarantine()

    async def sweep(self) -> int:
        """Cancel a batch; return how many callbacks waited, 0 when none did. Raises Fenced, StorageUnavailable."""
        rows: list[_Row] = []
        try:
            async with self._term.transaction() as connection:
                rows = await self._dequeue(connection)
                await _cancel(connection, rows)
        except ValueError as error:  # from reading: UnknownFact, or a stream that begins in its middle
            self._quarantine.batch_failed([callback_id for callback_id, *_ in rows], error)
            return await self.sweep()
        self._quarantine.batch_succeeded()
        return len(rows)

    async def _dequeue(self, connection: AsyncConnection) -> list[_Row]:
        quarantine = self._quarantine
        locked = await connection.execute(_LOCK, (quarantine.ids,), prepare=False)
        if await locked.fetchone() is None:
            return []
        values = {"quarantined": quarantine.ids, "limit": quarantine.batch_max}
        return await (await connection.execute(_DEQUEUE, values, prepare=False)).fetchall()


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
