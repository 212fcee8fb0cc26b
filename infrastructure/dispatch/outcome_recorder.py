"""Records events of the switch: the callback's facts, the call's row and the queue's slot in one transaction."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from time import monotonic

import msgspec
import structlog
from psycopg import AsyncConnection, AsyncCursor

from application.policies.decision import Decision, Facts
from application.ports.call_gateway import CallOver, CallProgressed, Progress
from application.ports.event_log import Appended
from domain.callback.callback import replay
from domain.callback.events import CallbackFact, CallEnd, Outcome
from domain.model import Envelope
from infrastructure.dispatch import metrics
from infrastructure.dispatch.call_rules import give_back
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.open_calls import OpenCall
from infrastructure.dispatch.queue_slots import lock_slots
from infrastructure.event_log.decisions import decide_and_append
from infrastructure.postgres.sql import statement

BATCH_INTERVAL_S = 0.05  # from the start of a small batch; the events of this time form the next one
PENDING_MAX = 10_000
_SMALL_BATCH = 64

_CLOSE = statement("""
    WITH gone AS (
        DELETE FROM {schema}.open_calls
        WHERE call_id = ANY(%s::uuid[])
        RETURNING queue_id
    )
    UPDATE {schema}.queue_slots AS s
    SET taken = s.taken - g.calls
    FROM (SELECT queue_id, count(*)::int AS calls FROM gone GROUP BY queue_id) AS g,
        LATERAL (
        SELECT revision FROM {schema}.queue_slots WHERE queue_id = g.queue_id ORDER BY revision DESC LIMIT 1
    ) AS newest
    WHERE s.queue_id = g.queue_id AND s.revision = newest.revision
    RETURNING s.organization_id, s.startable_at
""")

CallEvent = CallProgressed | CallOver
# organization_id, startable_at
FreedQueue = tuple[int, datetime | None]
OpenCallWithFacts = tuple[OpenCall, Facts]

_logger = structlog.get_logger(__name__)


class PendingOutcome(msgspec.Struct, frozen=True):
    """The news of a call to record: its end, or without an end that A and B were joined."""

    end: CallEnd | None

    def decide(self, attempt: int, facts: Facts) -> Sequence[CallbackFact]:
        """Return the facts that follow for the callback; none where they are recorded already."""
        callback = replay(facts)
        if callback is None:
            return []
        return callback.call_ended(attempt, self.end) if self.end else callback.call_joined(attempt)


class OutcomeRecorder:
    """Collects events of calls, and records all that arrived during the previous commit as the next batch."""

    def __init__(self, term: LeadershipTerm) -> None:
        """Prepare to record for as long as the term lasts."""
        self._term = term
        self._pending: deque[CallEvent] = deque()
        self._has_pending = asyncio.Event()
        self._recorded = asyncio.Event()

    def add(self, event: CallEvent) -> None:
        """Add an event. What is not recorded when the term ends, the next leader queries from the switch.

        Progress events except JOINED are ignored: they change no state.
        """
        if isinstance(event, CallProgressed) and event.progress is not Progress.JOINED:
            return
        self._pending.append(event)
        self._has_pending.set()

    async def wait_for_room(self) -> None:
        """Wait until no more than ``PENDING_MAX`` events are pending (backpressure)."""
        while len(self._pending) > PENDING_MAX:
            self._recorded.clear()
            await self._recorded.wait()

    async def run(self) -> None:
        """Record until cancelled. Raises Fenced, StorageUnavailable: the next leader then queries the switch again.

        Flushes at once when idle; under load waits up to 50 ms to fill a small batch.
        """
        next_at = 0.0
        while True:
            await self._has_pending.wait()
            await asyncio.sleep(
                max(0.0, next_at - monotonic())
            )  # events that are ready in this loop turn join the batch
            began, largest = monotonic(), 0
            while batch := self._next_batch():
                await self._record(batch)
                largest = max(largest, len(batch))
            next_at = began + BATCH_INTERVAL_S if largest < _SMALL_BATCH else began
            self._has_pending.clear()
            self._recorded.set()

    async def drain(self) -> None:
        """Wait until all pending events are recorded."""
        while self._has_pending.is_set():
            self._recorded.clear()
            await self._recorded.wait()

    def _next_batch(self) -> dict[str, PendingOutcome]:
        """Remove and return what can be decided at once: of each call its end, or that it was joined."""
        batch: dict[str, PendingOutcome] = {}
        while self._pending and len(batch) < self._term.batch_max:
            event = self._pending[0]
            end = event.end if isinstance(event, CallOver) else None
            before = batch.get(event.call_id)
            if before and end and before.end is None and end.outcome is not Outcome.SUCCESS:
                break  # joined, and yet another end: two decisions, the second based on the first
            self._pending.popleft()
            # An end that is a success implies the joining; of two ends the first one counts.
            batch[event.call_id] = before if before and (before.end or not end) else PendingOutcome(end)
        return batch

    async def _record(self, batch: Mapping[str, PendingOutcome]) -> None:
        try:
            async with self._term.transaction() as connection:
                calls = await self._term.open_calls.get(connection, batch)
                ended = [call for call, _ in calls.values() if batch[call.call_id].end]
                appended, closed = await self._append(connection, batch, calls, ended)
        except ValueError as error:  # from reading: UnknownFact, or a stream that begins in its middle
            await self._record_halves(batch, error)
            return
        self._note(batch, calls, appended)
        if closed:
            self._note_freed(ended, await closed.fetchall())
        metrics.BATCHES.labels("record").observe(len(batch))
        self._recorded.set()

    async def _append(
        self,
        connection: AsyncConnection,
        batch: Mapping[str, PendingOutcome],
        calls: Mapping[str, OpenCallWithFacts],
        ended: Sequence[OpenCall],
    ) -> tuple[Sequence[Appended | None], AsyncCursor[FreedQueue] | None]:
        """Append the facts and close the calls that ended; return the cursor of their queues, to fetch after the commit."""
        if ended:
            await lock_slots(connection, {call.queue_id for call in ended})
        undialled = [pair for pair in calls.values() if _is_undialled(batch[pair[0].call_id])]
        if undialled:
            await give_back(connection, undialled)
        decisions = [_decision(call, facts, batch[call.call_id]) for call, facts in calls.values()]
        appended = await decide_and_append(connection, decisions)
        closed = await connection.execute(_CLOSE, ([call.call_id for call in ended],)) if ended else None
        return appended, closed

    def _note(
        self,
        batch: Mapping[str, PendingOutcome],
        calls: Mapping[str, OpenCallWithFacts],
        appended: Iterable[Appended | None],
    ) -> None:
        """Update cache, metrics and pacing once the batch is committed."""
        ends: Counter[Outcome] = Counter()
        places: Counter[int] = Counter()
        for (call, facts), result in zip(calls.values(), appended, strict=True):
            if end := batch[call.call_id].end:
                self._term.open_calls.discard(call.call_id)
                ends[end.outcome] += 1
                places[call.organization_id] += 1
            elif result:
                self._term.open_calls.update(call, [*facts, *result.events])
        metrics.count_ended(ends)
        self._term.pacing.ended(places)

    def _note_freed(self, ended: Iterable[OpenCall], queues: Iterable[FreedQueue]) -> None:
        """Wake the dispatch loop: a queue may start another call, and so may others of a client."""
        for organization_id, startable_at in queues:
            if startable_at:
                self._term.turns.lower(organization_id, startable_at)
        self._term.free_lines.update(call.client_line for call in ended if call.client_line is not None)
        self._term.due.set()

    async def _record_halves(self, batch: Mapping[str, PendingOutcome], error: ValueError) -> None:
        """Record the readable calls. One whose stream cannot be read stays open, keeps its slot, and is retried later."""
        if len(batch) == 1:
            metrics.UNREADABLE.inc()
            _logger.error("outcome not recorded", calls=list(batch), error=str(error))
            self._recorded.set()
            return
        items = list(batch.items())
        await self._record(dict(items[: len(items) // 2]))
        await self._record(dict(items[len(items) // 2 :]))


def _is_undialled(outcome: PendingOutcome) -> bool:
    return outcome.end is not None and outcome.end.outcome is Outcome.NOT_DIALLED


def _decision(call: OpenCall, facts: Facts, outcome: PendingOutcome) -> Decision:
    return Decision(
        stream=call.stream,
        decide=lambda facts: outcome.decide(call.attempt, facts),
        envelope=Envelope(
            organization_id=call.organization_id,
            actor="switch",
            causation=str(call.position),
            correlation=call.correlation,
        ),
        known=facts,
    )
