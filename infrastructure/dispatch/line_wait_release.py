"""Moves callbacks that wait for a line back to the timetable when their queue's rules no longer ask for it.

``keep_timetable`` marks a queue when it gets other rules or is deleted. However many of its callbacks wait, neither that policy
nor the dispatcher waits for them: they are moved in small batches, one of each organisation in turn.
"""

from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.line_waits import moved_to_timetable
from infrastructure.dispatch.rests import run_with_rests
from infrastructure.postgres.sql import statement

BATCH_MAX = 500

_LOCK = statement("""
    SELECT queue_id, organization_id, CASE WHEN is_deleted THEN NULL ELSE client_leg END,
        freed_due_at::text, freed_callback_id
    FROM {schema}.queue_slots
    WHERE freed_due_at IS NOT NULL AND organization_id > %s
    ORDER BY organization_id, queue_id
    LIMIT 1
    FOR UPDATE
""")
# A row that is locked is returned to the timetable, or deleted, by the transaction that holds it.
_MOVE = statement(
    """
    WITH next AS MATERIALIZED (
        SELECT callback_id, due_at, line IS DISTINCT FROM CASE %(leg)s WHEN 'a' THEN a_line WHEN 'b' THEN b_line END AS is_free
        FROM {schema}.line_waits
        WHERE queue_id = %(queue)s AND (due_at, callback_id) > (%(due)s::timestamptz, %(id)s)
        ORDER BY due_at, callback_id
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ), <moved>
    SELECT due_at, callback_id, (SELECT min(due_at) FROM free)
    FROM next
    ORDER BY due_at DESC, callback_id DESC
    LIMIT 1
""".replace("<moved>", moved_to_timetable("SELECT callback_id FROM next WHERE is_free"))
)
_ADVANCE = statement("UPDATE {schema}.queue_slots SET freed_due_at = %s, freed_callback_id = %s WHERE queue_id = %s")


class LineWaitRelease:
    """Moves callbacks of marked queues back to the timetable, in small batches with rests between them."""

    def __init__(self, term: LeadershipTerm) -> None:
        """Prepare to move callbacks for as long as the term lasts."""
        self._term = term
        self._last = 0  # the organisation of the last batch

    async def run(self) -> None:
        """Move batches until cancelled. Raises Fenced, StorageUnavailable."""
        await run_with_rests(self.release)

    async def release(self) -> bool:
        """Move a batch of the next organisation's first marked queue; return whether there may be more.

        The mark of a queue is the last row that was examined, in the order of due times. After the last batch it is removed.
        So rows that the dispatcher sets apart under the new rules are not examined again and again. Raises Fenced,
        StorageUnavailable.
        """
        async with self._term.transaction() as connection:
            locked = await connection.execute(_LOCK, (self._last,), prepare=False)
            if (queue := await locked.fetchone()) is None:
                is_over, self._last = not self._last, 0
                return not is_over
            queue_id, organization_id, leg, due_at, callback_id = queue
            values = {"queue": queue_id, "leg": leg, "due": due_at, "id": callback_id, "limit": BATCH_MAX}
            moved = await connection.execute(_MOVE, values, prepare=False)
            last_due_at, last_id, first_due_at = await moved.fetchone() or (None, 0, None)
            await connection.execute(_ADVANCE, (last_due_at, last_id, queue_id))
        self._last = organization_id
        if first_due_at is not None:
            self._term.turns.lower(organization_id, first_due_at)
            self._term.due.set()
        return True
