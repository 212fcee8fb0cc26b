"""Cancelling what waits in queues that were deleted."""

from collections.abc import Sequence

from psycopg import AsyncConnection

from application.policies.decision import Decision, Facts
from domain.callback.callback import replay
from domain.callback.events import CallbackFact
from domain.model import Envelope
from domain.streams import callback_stream
from infrastructure.dispatch.leadership_term import Term
from infrastructure.dispatch.quarantine import Unreadable
from infrastructure.event_log.decisions import decide_and_append, read_streams
from infrastructure.postgres.sql import statement

_HOLD = statement(
    "SELECT queue_id FROM {schema}.queue_slots AS s WHERE is_deleted AND EXISTS (SELECT FROM {schema}.timetable AS t"
    " WHERE t.queue_id = s.queue_id AND t.callback_id <> ALL(%s)) ORDER BY queue_id FOR UPDATE"
)
_TAKE = statement(
    "DELETE FROM {schema}.timetable WHERE callback_id = ANY(ARRAY(SELECT t.callback_id FROM {schema}.queue_slots AS s,"
    " LATERAL (SELECT callback_id FROM {schema}.timetable WHERE queue_id = s.queue_id AND callback_id <> ALL(%(not)s)"
    " ORDER BY due_at LIMIT %(most)s) AS t WHERE s.is_deleted LIMIT %(most)s))"
    " RETURNING callback_id, organization_id, position"
)


class Sweeping:
    """Cancels batch by batch; the queue's calls that run are left to end."""

    def __init__(self, term: Term) -> None:
        """Sweep for as long as the term lasts."""
        self._term = term
        self._unreadable = Unreadable()

    async def sweep(self) -> int:
        """Cancel a batch; answer how many waited, 0 when none did. Raises Fenced, StorageUnavailable."""
        taken: list[tuple[int, int, int]] = []
        try:
            async with self._term.transaction() as connection:
                taken = await self._take(connection)
                await _cancel(connection, taken)
        except ValueError as error:  # of reading: UnknownFact, or a stream that begins in its middle
            self._unreadable.is_among([callback_id for callback_id, *_ in taken], error)
            return await self.sweep()
        self._unreadable.is_not_among_these()
        return len(taken)

    async def _take(self, connection: AsyncConnection) -> list[tuple[int, int, int]]:
        unreadable = self._unreadable
        held = await connection.execute(_HOLD, (unreadable.ids,), prepare=False)
        if await held.fetchone() is None:
            return []
        values = {"not": unreadable.ids, "most": unreadable.most}
        return await (await connection.execute(_TAKE, values, prepare=False)).fetchall()


async def _cancel(connection: AsyncConnection, taken: Sequence[tuple[int, int, int]]) -> None:
    streams = await read_streams(connection, [callback_stream(callback_id) for callback_id, *_ in taken])
    decisions = [
        Decision(
            stream=stream,
            decide=_deleted,
            envelope=Envelope(
                organization_id=organization_id,
                actor="dispatcher",
                reason="the queue was deleted",
                causation=str(position),
                correlation=streams[stream][-1].correlation if streams[stream] else None,
            ),
            known=streams[stream],
        )
        for callback_id, organization_id, position in taken
        if (stream := callback_stream(callback_id))
    ]
    await decide_and_append(connection, decisions)


def _deleted(facts: Facts) -> Sequence[CallbackFact]:
    callback = replay(facts)
    return callback.delete() if callback and callback.waits else []
