"""Recording what the switch tells: facts, the call's row and the queue's slot in one transaction."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic

import msgspec
import structlog
from psycopg import AsyncConnection

from application.policies.decision import Decision, Facts
from application.ports.call_gateway import CallOver, Progress, Progressed
from application.ports.event_log import Appended
from domain.callback.callback import replay
from domain.callback.events import CallbackFact, CallEnd, Outcome
from domain.model import Envelope
from infrastructure.dispatch import metrics
from infrastructure.dispatch.leadership_term import Term
from infrastructure.dispatch.open_calls import OpenCall
from infrastructure.event_log.decisions import decide_and_append
from infrastructure.postgres.sql import statement

BATCH = 1000
APART_S = 0.05  # so long after a small batch began, what came meanwhile is the next one
_SMALL = 64
WAITING = 10_000

_LOCK = statement("SELECT FROM {schema}.queue_slots WHERE queue_id = ANY(%s) ORDER BY queue_id FOR UPDATE")
_CLOSE = statement(
    "WITH gone AS (DELETE FROM {schema}.open_calls WHERE call_id = ANY(%s::uuid[]) RETURNING queue_id)"
    " UPDATE {schema}.queue_slots AS s SET taken = s.taken - g.calls"
    " FROM (SELECT queue_id, count(*)::int AS calls FROM gone GROUP BY queue_id) AS g WHERE s.queue_id = g.queue_id"
)

News = Progressed | CallOver
Known = tuple[OpenCall, Facts]

_logger = structlog.get_logger(__name__)


class Heard(msgspec.Struct, frozen=True):
    """What is to be recorded of a call: that it was joined, or how it ended."""

    end: CallEnd | None

    def decide(self, attempt: int, facts: Facts) -> Sequence[CallbackFact]:
        """Decide what it means to the callback; what was heard before means nothing."""
        callback = replay(facts)
        if callback is None:
            return []
        return callback.call_ended(attempt, self.end) if self.end else callback.call_joined(attempt)


class Recording:
    """Takes news of calls as they come, and records all that came in during the previous commit as the next batch."""

    def __init__(self, term: Term) -> None:
        """Record for as long as the term lasts."""
        self._term = term
        self._waiting: deque[News] = deque()
        self._came = asyncio.Event()
        self._went = asyncio.Event()

    def hear(self, news: News) -> None:
        """Take news. What is not recorded when the term ends is asked of the switch by the next leader.

        Of how far a call has come only that it is joined changes anything.
        """
        if isinstance(news, Progressed) and news.progress is not Progress.JOINED:
            return
        self._waiting.append(news)
        self._came.set()

    async def room(self) -> None:
        """Wait until not too much is waiting."""
        while len(self._waiting) > WAITING:
            self._went.clear()
            await self._went.wait()

    async def run(self) -> None:
        """Record until cancelled. Raises Fenced, StorageUnavailable: what was heard is then asked of the switch again.

        What is heard after a rest is recorded at once; in a steady flow, small batches wait for company.
        """
        next_at = 0.0
        while True:
            await self._came.wait()
            await asyncio.sleep(max(0.0, next_at - monotonic()))  # what is ready in this turn of the loop comes along
            began, most = monotonic(), 0
            while batch := self._next_batch():
                await self._record(batch)
                most = max(most, len(batch))
            next_at = began + APART_S if most < _SMALL else began
            self._came.clear()
            self._went.set()

    async def drain(self) -> None:
        """Wait until all that was heard is recorded."""
        while self._came.is_set():
            self._went.clear()
            await self._went.wait()

    def _next_batch(self) -> dict[str, Heard]:
        """Take what can be decided at once: of each call its end, or that it was joined."""
        batch: dict[str, Heard] = {}
        while self._waiting and len(batch) < BATCH:
            news = self._waiting[0]
            end = news.end if isinstance(news, CallOver) else None
            before = batch.get(news.call_id)
            if before and end and before.end is None and end.outcome is not Outcome.SUCCESS:
                break  # joined, and yet another end: two decisions, the second upon the first
            self._waiting.popleft()
            # An end that is a success tells of the joining too; of two ends the first one counts.
            batch[news.call_id] = before if before and (before.end or not end) else Heard(end)
        return batch

    async def _record(self, batch: Mapping[str, Heard]) -> None:
        try:
            async with self._term.transaction() as connection:
                known = await self._term.calls.get(connection, batch)
                ended = [call for call, _ in known.values() if batch[call.call_id].end]
                outcomes = await self._append(connection, batch, known, ended)
        except ValueError as error:  # of reading: UnknownFact, or a stream that begins in its middle
            await self._by_halves(batch, error)
            return
        self._note(batch, known, outcomes)
        metrics.BATCHES.labels("record").observe(len(batch))
        self._went.set()
        if ended:
            self._term.due.set()

    async def _append(
        self,
        connection: AsyncConnection,
        batch: Mapping[str, Heard],
        known: Mapping[str, Known],
        ended: Sequence[OpenCall],
    ) -> Sequence[Appended | None]:
        if ended:
            queues = sorted({call.queue_id for call in ended})
            await connection.execute(_LOCK, (queues,))
        decisions = [_decision(call, facts, batch[call.call_id]) for call, facts in known.values()]
        outcomes = await decide_and_append(connection, decisions)
        if ended:
            await connection.execute(_CLOSE, ([call.call_id for call in ended],))
        return outcomes

    def _note(
        self, batch: Mapping[str, Heard], known: Mapping[str, Known], outcomes: Iterable[Appended | None]
    ) -> None:
        ends: Counter[Outcome] = Counter()
        for (call, facts), outcome in zip(known.values(), outcomes, strict=True):
            if end := batch[call.call_id].end:
                self._term.calls.forget(call.call_id)
                ends[end.outcome] += 1
            elif outcome:
                self._term.calls.follow(call, [*facts, *outcome.events])
        metrics.ended(ends)
        self._term.pacing.ended(ends.total())

    async def _by_halves(self, batch: Mapping[str, Heard], error: ValueError) -> None:
        """Record what can be; a call whose stream cannot be read stays open, keeps its slot, and is heard of again."""
        if len(batch) == 1:
            metrics.UNREADABLE.inc()
            _logger.error("what a call came to cannot be recorded", calls=list(batch), error=str(error))
            self._went.set()
            return
        items = list(batch.items())
        await self._record(dict(items[: len(items) // 2]))
        await self._record(dict(items[len(items) // 2 :]))


def _decision(call: OpenCall, facts: Facts, heard: Heard) -> Decision:
    return Decision(
        stream=call.stream,
        decide=lambda facts: heard.decide(call.attempt, facts),
        envelope=Envelope(
            organization_id=call.organization_id,
            actor="switch",
            causation=str(call.position),
            correlation=call.correlation,
        ),
        known=facts,
    )
