"""Asking the switch what became of the open calls, when what it told of them may have been lost (telephony, Crash safety)."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
import structlog

from application.ports.call_gateway import (
    LONGEST_TALK_S,
    MAX_CLOCK_SKEW,
    RING_S,
    Absent,
    CallOver,
    Ended,
    Found,
    GatewayDown,
    Live,
    Progress,
    Progressed,
)
from domain.callback.events import CallEnd, Outcome
from infrastructure.dispatch import metrics
from infrastructure.dispatch.call_placer import Placing
from infrastructure.dispatch.leadership_term import Term
from infrastructure.dispatch.outcome_recorder import Recording
from infrastructure.postgres.notifications import wait_or_timeout
from infrastructure.postgres.sql import statement

LOOK_EVERY_S = 10.0  # an event that was lost holds a slot for as long
LOOK_AGAIN_S = 5.0  # what a process that is dead wrote to the switch may still be on its way
PAGE = 500
LONGEST_S = 2 * RING_S + LONGEST_TALK_S + 60.0  # from an attempt's start; what lasts longer was forgotten by somebody

# Literally so: the calls of seconds ago are still told of.
_PAGE = statement(
    "SELECT call_id::text AS id, started_at, clock_timestamp() - started_at > make_interval(secs => %s)"
    " FROM {schema}.open_calls WHERE gateway = %s AND call_id > %s"
    " AND started_at <= clock_timestamp() - make_interval(secs => %s) ORDER BY call_id LIMIT %s"
)
_FIRST = str(UUID(int=0))
_LOST = CallEnd(outcome=Outcome.LOST)

_logger = structlog.get_logger(__name__)


class _Open(msgspec.Struct, frozen=True):
    """A row of an open call."""

    id: str
    started_at: datetime
    is_overdue: bool


class Reconciling:
    """Compares the open calls with what the switch knows: at the start of a term, whenever in doubt, and now and then."""

    def __init__(self, term: Term, recording: Recording, placing: Placing) -> None:
        """Ask for as long as the term lasts."""
        self._term = term
        self._recording = recording
        self._placing = placing
        self._overdue: set[str] = set()

    async def run(self) -> None:
        """Compare until cancelled. Raises StorageUnavailable."""
        doubt = self._term.doubt
        while True:
            await wait_or_timeout(doubt, LOOK_EVERY_S)
            if not self._term.link_is_up:
                doubt.clear()  # the link brings it back
                await doubt.wait()
            in_doubt = doubt.is_set()
            doubt.clear()
            try:
                await self._compare(0.0 if in_doubt else LOOK_EVERY_S)
            except GatewayDown as error:
                _logger.info("the switch cannot be asked about open calls", error=str(error))

    async def _compare(self, age_s: float) -> None:
        """Compare the calls that were started so long ago or longer."""
        absent: list[_Open] = []
        async for page in self._pages(age_s):
            absent += await self._ask(page)
        if not absent:
            return
        await asyncio.sleep(LOOK_AGAIN_S)
        for first in range(0, len(absent), PAGE):
            for call in await self._ask(absent[first : first + PAGE]):
                metrics.RECONCILED.labels("lost").inc()
                _logger.warning("a call is lost", call_id=call.id)
                self._hear(CallOver(call.id, _LOST))

    async def _pages(self, age_s: float) -> AsyncGenerator[list[_Open]]:
        last = _FIRST
        while True:
            async with self._term.pool.connection() as connection:
                values = (LONGEST_S, self._term.lease.gateway, last, age_s, PAGE)
                page = [_Open(*row) for row in await (await connection.execute(_PAGE, values)).fetchall()]
            if not page:
                return
            last = page[-1].id
            yield page

    async def _ask(self, calls: Sequence[_Open]) -> list[_Open]:
        """Have recorded what the switch knows; answer those that it knows nothing of."""
        calls = [call for call in calls if not self._placing.has_in_hand(call.id)]
        if not calls:
            return []
        await self._recording.room()
        found = await self._term.gateway.find([call.id for call in calls])
        for call, one in zip(calls, found, strict=True):
            if call.is_overdue and isinstance(one, Live):
                await self._cut(call.id)
        return [call for call, one in zip(calls, found, strict=True) if not self._is_known(call, one)]

    async def _cut(self, call_id: str) -> None:
        """Hang up a call that lasts too long, once; its end is heard as any other's, or found the next time."""
        if call_id in self._overdue or not self._term.lease.may_speak():
            return
        await self._term.gateway.hang_up(call_id)
        self._overdue.add(call_id)
        metrics.OVERDUE.inc()
        _logger.warning("a call that lasted too long was hung up", call_id=call_id, longest_s=LONGEST_S)

    def _hear(self, news: Progressed | CallOver) -> None:
        self._recording.hear(news)
        # That a call is at A, or at B, tells no more than that it was tried there.
        proves = isinstance(news, CallOver) or news.progress is Progress.JOINED
        if proves:
            self._term.weigh(news, is_found=True)

    def _is_known(self, call: _Open, found: Found) -> bool:
        match found:
            case Live(progress=progress):
                metrics.RECONCILED.labels("adopted").inc()
                self._hear(Progressed(call.id, progress))
            case Ended(end=end, at=at) if at >= call.started_at - MAX_CLOCK_SKEW:
                metrics.RECONCILED.labels("ended").inc()
                self._hear(CallOver(call.id, end))
            case Ended() | Absent():
                return False
            case _:
                assert_never(found)
        return True
