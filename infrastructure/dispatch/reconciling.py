"""Asking the switch what became of the open calls, when what it told of them may have been lost (telephony, Crash safety)."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

import structlog

from application.gateway import Absent, CallOver, Ended, Found, GatewayDown, Live, Progressed
from domain.callback.events import CallEnd, Outcome
from infrastructure.dispatch import metrics
from infrastructure.dispatch.placing import Placing
from infrastructure.dispatch.recording import Recording
from infrastructure.dispatch.term import Term
from infrastructure.new_events import woken
from infrastructure.statements import statement

LOOK_EVERY_S = 10.0  # an event that was lost holds a slot for as long
LOOK_AGAIN_S = 5.0  # what a process that is dead wrote to the switch may still be on its way
PAGE = 500
CLOCKS_APART = timedelta(minutes=5)

# Literally so: the calls of seconds ago are still told of.
_PAGE = statement(
    "SELECT call_id, started_at FROM {schema}.open_calls WHERE gateway = %s AND call_id > %s"
    " AND started_at <= clock_timestamp() - make_interval(secs => %s) ORDER BY call_id LIMIT %s"
)
_FIRST = UUID(int=0)
_LOST = CallEnd(outcome=Outcome.LOST)

_logger = structlog.get_logger(__name__)


class Reconciling:
    """Compares the open calls with what the switch knows: at the start of a term, whenever in doubt, and now and then."""

    def __init__(self, term: Term, recording: Recording, placing: Placing) -> None:
        """Ask for as long as the term lasts."""
        self._term = term
        self._recording = recording
        self._placing = placing

    async def run(self) -> None:
        """Compare until cancelled. Raises StorageAway."""
        doubt = self._term.doubt
        while True:
            await woken(doubt, LOOK_EVERY_S)
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
        absent = [call async for page in self._pages(age_s) for call in await self._ask(page)]
        if not absent:
            return
        await asyncio.sleep(LOOK_AGAIN_S)
        for first in range(0, len(absent), PAGE):
            for call_id, _ in await self._ask(absent[first : first + PAGE]):
                metrics.RECONCILED.labels("lost").inc()
                _logger.warning("a call is lost", call_id=call_id)
                self._recording.hear(CallOver(call_id, _LOST))

    async def _pages(self, age_s: float) -> AsyncGenerator[list[tuple[str, datetime]]]:
        last = _FIRST
        while True:
            async with self._term.pool.connection() as connection:
                values = (self._term.lease.gateway, last, age_s, PAGE)
                rows: list[tuple[UUID, datetime]] = await (await connection.execute(_PAGE, values)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield [(str(call_id), started_at) for call_id, started_at in rows]

    async def _ask(self, calls: Sequence[tuple[str, datetime]]) -> list[tuple[str, datetime]]:
        """Have recorded what the switch knows; answer those that it knows nothing of."""
        calls = [call for call in calls if not self._placing.has_in_hand(call[0])]
        if not calls:
            return []
        await self._recording.room()
        found = await self._term.gateway.find([call_id for call_id, _ in calls])
        return [call for call, one in zip(calls, found, strict=True) if not self._is_known(call, one)]

    def _is_known(self, call: tuple[str, datetime], found: Found) -> bool:
        call_id, started_at = call
        match found:
            case Live(progress=progress):
                metrics.RECONCILED.labels("adopted").inc()
                self._recording.hear(Progressed(call_id, progress))
            case Ended(end=end, at=at) if at >= started_at - CLOCKS_APART:
                metrics.RECONCILED.labels("ended").inc()
                self._recording.hear(CallOver(call_id, end))
            case Ended() | Absent():
                return False
            case _:
                assert_never(found)
        return True
