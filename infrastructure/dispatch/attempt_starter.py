"""Starts due attempts: the one transaction that records them and takes their queue slots."""

from collections.abc import Sequence

import msgspec
from psycopg import AsyncConnection

from application.caller_ids import caller_ids
from application.phones import split_extension
from application.policies.decision import Decision, Facts
from application.policies.notify_webhooks import Message, message_of
from application.ports.call_gateway import Call
from application.ports.event_log import Appended
from domain.callback.callback import replay
from domain.callback.events import AttemptStarted, CallbackFact, CallbackScheduled
from domain.model import Envelope, Recorded
from infrastructure.dispatch import metrics
from infrastructure.dispatch.due_queue import DueCallback, dequeue, seconds_to_next
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.open_calls import OpenCall
from infrastructure.dispatch.quarantine import Quarantine
from infrastructure.event_log.codec import UnknownFact
from infrastructure.event_log.decisions import decide_and_append, read_streams
from infrastructure.postgres.sql import statement
from infrastructure.webhooks.outbox import enqueue

_OPEN = statement("""
    WITH given AS MATERIALIZED (
        SELECT *
        FROM unnest(
            %b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[], %b::int[], %b::bigint[], %b::text[], %b::bigint[]
        ) WITH ORDINALITY AS g (
            call_id, callback_id, queue_id, organization_id, attempt, position, correlation, client_line, turn
        )
    ), begun AS (
        INSERT INTO {schema}.open_calls (
            call_id, callback_id, queue_id, organization_id, attempt, position, correlation, client_line,
            gateway, fence, started_at
        )
        SELECT call_id, callback_id, queue_id, organization_id, attempt, position, correlation, client_line, %b, %b, %b
        FROM given
    )
    UPDATE {schema}.queue_slots AS s
    SET taken = s.taken + b.calls,
        served_at = statement_timestamp() + b.turn * interval '1 microsecond'
    FROM (SELECT queue_id, count(*)::int AS calls, max(turn) AS turn FROM given GROUP BY queue_id) AS b
    WHERE s.queue_id = b.queue_id
""")


class StartedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded attempt, to be dialled after the first delivery attempt of ``message``; ``late_s`` seconds after it was due."""

    call: Call
    message: Message | None
    late_s: float
    facts: Facts
    open_call: OpenCall


class AttemptStarter:
    """Starts due attempts batch by batch."""

    def __init__(self, term: LeadershipTerm) -> None:
        """Prepare to start attempts for as long as the term lasts."""
        self._term = term
        self._quarantine = Quarantine()

    async def seconds_to_next(self) -> float:
        """Return the seconds until an attempt can start: 0 or less is at once, infinite is after some change."""
        async with self._term.pool.connection() as connection:
            return await seconds_to_next(connection, self._quarantine.ids)

    async def start(self, limit: int) -> Sequence[StartedAttempt]:
        """Start at most ``limit`` attempts; none when nothing is due in a queue with a free slot.

        They are recorded, and hold their slots, when this returns. A callback whose stream cannot be read is found by
        halving, and quarantined. Raises Fenced, StorageUnavailable.
        """
        limit = min(limit, self._quarantine.batch_max)
        dequeued: list[DueCallback] = []
        try:
            async with self._term.transaction() as connection:
                dequeued = await dequeue(connection, self._quarantine.ids, limit)
                started = await self._record(connection, dequeued) if dequeued else []
        except ValueError as error:  # from reading: UnknownFact, or a stream that begins in its middle
            self._quarantine.batch_failed([due.callback_id for due in dequeued], error)
            return await self.start(limit)
        self._quarantine.batch_succeeded()
        if dequeued:
            self._note(dequeued, started)
        return started

    async def _record(self, connection: AsyncConnection, dequeued: Sequence[DueCallback]) -> list[StartedAttempt]:
        """Record an attempt of each; a callback that waits no more just loses its row of the timetable."""
        streams = await read_streams(connection, [due.stream for due in dequeued])
        decisions = [self._decision(due, streams[due.stream]) for due in dequeued]
        started = [
            _started(due, streams[due.stream], appended)
            for due, appended in zip(dequeued, await decide_and_append(connection, decisions), strict=True)
            if appended is not None
        ]
        if not started:
            return []
        await self._open(connection, started)
        if messages := [one.message for one in started if one.message]:
            await enqueue(connection, messages, leased_to=self._term.lease.holder)
        return started

    def _decision(self, due: DueCallback, facts: Facts) -> Decision:
        return Decision(
            stream=due.stream,
            decide=self._start_attempt,
            envelope=Envelope(
                organization_id=due.organization_id,
                actor="dispatcher",
                causation=str(due.position),
                correlation=facts[-1].correlation if facts else None,
            ),
            known=facts,
        )

    def _start_attempt(self, facts: Facts) -> list[CallbackFact]:
        callback = replay(facts)
        if callback is None or not callback.waits:
            return []
        return callback.start_attempt(self._term.call_id(callback.id, callback.attempt + 1))

    async def _open(self, connection: AsyncConnection, started: Sequence[StartedAttempt]) -> None:
        columns = zip(*(msgspec.structs.astuple(one.open_call) for one in started), strict=True)
        lease, at = self._term.lease, started[0].facts[-1].recorded_at
        values = (*map(list, columns), lease.gateway, lease.fence, at)
        await connection.cursor(binary=True).execute(_OPEN, values, prepare=True)

    def _note(self, dequeued: Sequence[DueCallback], started: Sequence[StartedAttempt]) -> None:
        for one in started:
            self._term.open_calls.add(one.open_call, one.facts)
        metrics.BATCHES.labels("start").observe(len(dequeued))
        metrics.STARTED.inc(len(started))
        metrics.OPEN_CALLS.inc(len(started))
        self._term.pacing.started(len(started))


def _started(due: DueCallback, before: Facts, appended: Appended) -> StartedAttempt:
    event: Recorded[AttemptStarted] = appended.events[0]
    scheduled = before[0].fact
    if not isinstance(scheduled, CallbackScheduled):
        raise UnknownFact(f"{due.stream} begins with {type(scheduled).__name__}")
    details = scheduled.personal
    (a_number, a_digits), (b_number, b_digits) = split_extension(details.a_number), split_extension(details.b_number)
    a_sees, b_sees = caller_ids(details.a_number, details.b_number, due.shown_number)
    return StartedAttempt(
        call=Call(
            id=event.fact.call_id,
            a_number=a_number,
            b_number=b_number,
            a_digits=a_digits,
            b_digits=b_digits,
            a_sees=a_sees,
            b_sees=b_sees,
            extension_id=scheduled.extension_id,
        ),
        message=message_of(event, scheduled),
        late_s=(event.recorded_at - due.due_at).total_seconds(),
        facts=[*before, event],
        open_call=OpenCall(
            call_id=event.fact.call_id,
            callback_id=due.callback_id,
            queue_id=due.queue_id,
            organization_id=due.organization_id,
            attempt=event.fact.attempt,
            position=event.position,
            correlation=event.correlation,
            client_line=due.client_line,
        ),
    )
