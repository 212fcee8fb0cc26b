"""Starts due attempts: the one transaction that records them and takes their queue slots."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat

import msgspec
from psycopg import AsyncConnection

from application.call_admission import Admission
from application.dial_policy import Rule
from application.policies.decision import Decision, Facts
from application.queries.queue_board import Idle
from domain.callback.callback import replay
from domain.callback.events import CallbackFact, CallbackScheduled, Leg
from domain.model import Envelope
from domain.organization.limits import Limits
from infrastructure.dispatch import metrics
from infrastructure.dispatch.call_rules import RECHECK, CallRules, candidate_of
from infrastructure.dispatch.choice import Choice, choose
from infrastructure.dispatch.due_queue import (
    DueCallback,
    FirstRow,
    QueueTurn,
    deal,
    find_startable,
    lock_turns,
    pick,
    postpone,
    remove,
    select_first_rows,
)
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.line_waits import set_apart, take_back
from infrastructure.dispatch.open_calls import OpenCall
from infrastructure.dispatch.quarantine import BATCH_MAX, QUARANTINED_FOR, Quarantine
from infrastructure.dispatch.started_attempt import StartedAttempt, started_attempt
from infrastructure.event_log.decisions import decide_and_append, read_streams
from infrastructure.postgres.sql import statement
from infrastructure.webhooks.outbox import enqueue

_OPEN = statement("""
    WITH calls AS MATERIALIZED (
        SELECT *
        FROM unnest(
            %b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[], %b::int[], %b::bigint[], %b::text[], %b::bigint[],
            %b::bigint[], %b::bigint[]
        ) WITH ORDINALITY AS g (
            call_id, callback_id, queue_id, organization_id, attempt, position, correlation, client_line,
            a_line, b_line, turn
        )
    ), begun AS (
        INSERT INTO {schema}.open_calls (
            call_id, callback_id, queue_id, organization_id, attempt, position, correlation, client_line,
            a_line, b_line, gateway, fence, started_at
        )
        SELECT
            call_id, callback_id, queue_id, organization_id, attempt, position, correlation, client_line,
            a_line, b_line, %b, %b, %b
        FROM calls
    )
    UPDATE {schema}.queue_slots AS s
    SET taken = s.taken + coalesce(b.calls, 0),
        served_at = coalesce(statement_timestamp() + b.turn * interval '1 microsecond', s.served_at),
        next_due_at = coalesce(q.next_due_at, 'infinity'),
        next_callback_id = q.next_callback_id,
        revision = s.revision + 1
    FROM unnest(%b::bigint[], %b::timestamptz[], %b::bigint[]) AS q (queue_id, next_due_at, next_callback_id)
    CROSS JOIN LATERAL (
        SELECT revision FROM {schema}.queue_slots WHERE queue_id = q.queue_id ORDER BY revision DESC LIMIT 1
    ) AS newest
    LEFT JOIN (SELECT queue_id, count(*)::int AS calls, max(turn) AS turn FROM calls GROUP BY queue_id) AS b
        USING (queue_id)
    WHERE s.queue_id = q.queue_id AND s.revision = newest.revision
""")

_ORGANIZATIONS_MAX = 100  # that a batch serves; the others have their turn in the next ones
FIRST_BATCH_MAX = 50
"""Calls of a batch until one was full: places are taken for as many, before it is known how many are due."""


class Batch(msgspec.Struct, frozen=True):
    """Attempts that were started together; ``is_any_settled``: a callback was started, or need not be examined again soon."""

    started: Sequence[StartedAttempt] = ()
    is_any_settled: bool = False


class AttemptStarter:
    """Starts due attempts batch by batch."""

    def __init__(self, term: LeadershipTerm, limits: Limits | None = None) -> None:
        """Prepare to start attempts for as long as the term lasts, within the ``limits`` of organisations."""
        self._term = term
        self._rules = CallRules(limits or Limits())
        self._quarantine = Quarantine()
        self.was_full = False
        """The last batch was full: more attempts may be due."""

    async def seconds_to_next(self) -> float:
        """Return the seconds until an attempt can start: 0 or less is at once, infinite is after some change."""
        turns = self._term.turns
        while ready := turns.ready(_ORGANIZATIONS_MAX, self._term.may_start):
            floors = turns.floors(ready)
            turns.begin_search(ready)
            async with self._term.pool.connection() as connection:
                found = await find_startable(connection, ready, floors)
            turns.synchronize(found.now)
            turns.end_search(found.next_at)
            if found.is_any_due:
                return 0.0
        return turns.seconds_to_next()

    async def release_lines(self) -> None:
        """Return the oldest callbacks of clients whose calls have ended to the timetable. Raises Fenced, StorageUnavailable."""
        lines = self._term.free_lines.copy()
        if not lines:
            return
        async with self._term.transaction() as connection:
            times = await take_back(connection, lines)
        self._term.free_lines -= lines
        for organization_id, due_at in times.items():
            self._term.turns.lower(organization_id, due_at)

    async def start(self, limit: int) -> Batch:
        """Start at most ``limit`` attempts; none when nothing is due in a queue with a free slot.

        They are recorded, and hold their slots, when this returns. A callback whose stream cannot be read is found by
        halving, and quarantined. Raises Fenced, StorageUnavailable.
        """
        limit = min(limit, self._quarantine.batch_max, BATCH_MAX if self.was_full else FIRST_BATCH_MAX)
        reserved, choice, batch = Counter[int](), Choice(), Batch()
        try:
            async with self._term.transaction() as connection:
                batch = await self._start(connection, limit, reserved, choice)
        except ValueError as error:  # from reading: UnknownFact, or a stream that begins in its middle
            self._rules.forget()
            await self._set_aside([due.callback_id for due in choice.to_start], error)
            return await self.start(limit)
        finally:
            self._term.pacing.give_back(reserved - Counter(one.open_call.organization_id for one in batch.started))
        self._quarantine.batch_succeeded()
        self.was_full = len(batch.started) == limit
        self._note(batch.started)
        return batch

    async def _start(self, connection: AsyncConnection, limit: int, reserved: Counter[int], choice: Choice) -> Batch:
        turns = self._term.turns
        order = self._without_last_probe(turns.ready(_ORGANIZATIONS_MAX, self._term.may_start))
        locked = await lock_turns(connection, order, turns.floors(order), limit) if order else []

        def has_place(organization_id: int) -> bool:
            is_taken = self._term.take_place(organization_id)
            reserved[organization_id] += is_taken
            return is_taken

        dealt = deal(locked, order, limit, has_place)
        if not dealt:
            return Batch()
        choose(choice, dealt, await pick(connection, dealt), self._term)
        return await self._record(connection, dealt, choice)

    def _without_last_probe(self, order: list[int]) -> list[int]:
        """Leave out the organisation of the last probe, when another is due and the breaker is open."""
        breaker = self._term.pacing.breakers.gateway
        others = [one for one in order if one != breaker.probed]
        return order if breaker.is_closed or not others else others

    async def _record(self, connection: AsyncConnection, dealt: Sequence[QueueTurn], choice: Choice) -> Batch:
        """Record an attempt of each; a callback that waits no more just loses its row of the timetable.

        A callback whose number may not be called is finished instead; one that a quota holds stays as it is, or is due
        later.
        """
        streams = await read_streams(connection, [due.stream for due in choice.to_start])
        metrics.LINE_HOLDS.inc(len(choice.postponed))
        admission = await self._admit(connection, choice, streams)
        await remove(connection, [due.callback_id for due in choice.to_start])
        await postpone(connection, choice.postponed, Idle.NUMBER_CONGESTED)
        await postpone(connection, admission.postponed, Idle.NUMBER_QUOTA)
        await set_apart(connection, choice.busy)
        queues = list(dict.fromkeys(dealt))
        first_rows = await select_first_rows(connection, queues)
        decisions = [
            self._decision(due, streams[due.stream], admission.refused.get(due.callback_id)) for due in choice.to_start
        ]
        started = [
            started_attempt(due, streams[due.stream], appended)
            for due, appended in zip(choice.to_start, await decide_and_append(connection, decisions), strict=True)
            if appended is not None and due.callback_id not in admission.refused
        ]
        await self._open(connection, started, queues, await first_rows.fetchall())
        if messages := [one.message for one in started if one.message]:
            await enqueue(connection, messages, leased_to=self._term.lease.holder)
        return Batch(started, is_any_settled=choice.is_any or bool(admission.held or admission.postponed))

    async def _admit(self, connection: AsyncConnection, choice: Choice, streams: Mapping[str, Facts]) -> Admission:
        """Ask the rules and quotas of the organisations; leave in ``choice`` what is started or refused now."""
        now = self._term.turns.now()
        candidates = [
            candidate_of(due.callback_id, due.organization_id, facts[0].fact, due.lines(facts[0].fact.personal))
            for due in choice.to_start
            if (facts := streams[due.stream]) and isinstance(facts[0].fact, CallbackScheduled)
        ]
        admission = await self._rules.admit(connection, candidates, now)
        for organization_id, until in admission.held_until.items():
            self._term.turns.hold(organization_id, min(until, now + RECHECK))
        waiting = admission.postponed.keys() | admission.held
        choice.to_start = [due for due in choice.to_start if due.callback_id not in waiting]
        return admission

    async def _set_aside(self, callback_ids: Sequence[int], error: ValueError) -> None:
        """Halve the next batch; postpone the only callback of one, so that it delays no others."""
        if unreadable := self._quarantine.batch_failed(callback_ids, error):
            until = self._term.turns.now() + QUARANTINED_FOR
            async with self._term.transaction() as connection:
                await postpone(connection, dict.fromkeys(unreadable, until), Idle.UNREADABLE)

    def _decision(self, due: DueCallback, facts: Facts, refused: tuple[Leg, Rule] | None) -> Decision:
        return Decision(
            stream=due.stream,
            decide=partial(_refuse, *refused) if refused else self._start_attempt,
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
        call_id = self._term.call_id(callback.id, callback.attempt + 1)
        self._term.undialled.add(call_id)  # before the commit, whose result may stay unknown
        return callback.start_attempt(call_id)

    async def _open(
        self,
        connection: AsyncConnection,
        started: Sequence[StartedAttempt],
        queues: Sequence[QueueTurn],
        first_rows: Iterable[FirstRow],
    ) -> None:
        """Store the open calls, take their slots, and note how far each queue was searched."""
        calls = [msgspec.structs.astuple(one.open_call) for one in started]
        columns = zip(*calls, strict=True) if calls else repeat((), len(OpenCall.__struct_fields__))
        lease, at = self._term.lease, started[0].facts[-1].recorded_at if started else None
        first = {queue_id: (due_at, callback_id) for queue_id, due_at, callback_id in first_rows}
        nothing = (None, 0)
        marks = [(turn.queue_id, *first.get(turn.queue_id, nothing)) for turn in queues]
        values = (*map(list, columns), lease.gateway, lease.fence, at, *map(list, zip(*marks, strict=True)))
        await connection.cursor(binary=True).execute(_OPEN, values, prepare=True)

    def _note(self, started: Sequence[StartedAttempt]) -> None:
        for one in started:
            call = one.open_call
            self._term.open_calls.add(call, one.facts)
            self._term.pacing.breakers.started(call.call_id, one.dialled)
            self._term.turns.serve(call.organization_id)
        if started:
            metrics.BATCHES.labels("start").observe(len(started))
        metrics.STARTED.inc(len(started))
        metrics.OPEN_CALLS.inc(len(started))
        self._term.pacing.started(len(started))


def _refuse(leg: Leg, rule: Rule, facts: Facts) -> list[CallbackFact]:
    callback = replay(facts)
    return callback.refuse(leg, rule) if callback and callback.waits else []
