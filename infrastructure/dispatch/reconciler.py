"""Compares open calls with the switch's state, because events may have been lost (docs/adr/0009-one-fenced-leader-dials.md)."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
import structlog

from application.ports.call_gateway import (
    CLOCK_SKEW_MAX,
    LONGEST_TALK_S,
    RING_S,
    Absent,
    CallOver,
    CallProgressed,
    CallState,
    Ended,
    GatewayUnavailable,
    Live,
    Progress,
)
from domain.callback.events import CallEnd, Outcome
from infrastructure.dispatch import metrics
from infrastructure.dispatch.call_placer import CallPlacer
from infrastructure.dispatch.handover import undialled
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.outcome_recorder import OutcomeRecorder
from infrastructure.postgres.notifications import wait_or_timeout
from infrastructure.postgres.sql import statement

RECONCILE_EVERY_S = 10.0  # a lost event holds a queue slot for as long
RECHECK_AFTER_S = 5.0  # a request of a dead process may still be in flight to the switch
PAGE_SIZE = 500
# From an attempt's start: a call that lasts longer was forgotten by a phone or a trunk.
CALL_AGE_MAX_S = 2 * RING_S + LONGEST_TALK_S + 60.0

# The age is a minimum: events of calls started seconds ago are still expected.
_PAGE = statement("""
    SELECT call_id::text AS id, started_at, clock_timestamp() - started_at > make_interval(secs => %s)
    FROM {schema}.open_calls
    WHERE gateway = %s
        AND call_id > %s
        AND started_at <= clock_timestamp() - make_interval(secs => %s)
    ORDER BY call_id
    LIMIT %s
""")
_FIRST_ID = str(UUID(int=0))
_LOST = CallEnd(outcome=Outcome.LOST)
_NOT_DIALLED = CallEnd(outcome=Outcome.NOT_DIALLED)

_logger = structlog.get_logger(__name__)


class _OpenCall(msgspec.Struct, frozen=True):
    """Row of an open call."""

    id: str
    started_at: datetime
    is_overdue: bool


class Reconciler:
    """Reconciles open calls with the switch: at the start of a term, when events may be lost, and every 10 s."""

    def __init__(self, term: LeadershipTerm, recorder: OutcomeRecorder, placer: CallPlacer) -> None:
        """Prepare to reconcile for as long as the term lasts."""
        self._term = term
        self._recorder = recorder
        self._placer = placer
        self._overdue: set[str] = set()

    async def run(self) -> None:
        """Reconcile until cancelled. Raises StorageUnavailable."""
        requested = self._term.reconcile_now
        while True:
            await wait_or_timeout(requested, RECONCILE_EVERY_S)
            if not self._term.link_is_up:
                requested.clear()  # set again when the link is up
                await requested.wait()
            is_urgent = requested.is_set()
            requested.clear()
            try:
                await self._reconcile(0.0 if is_urgent else RECONCILE_EVERY_S)
            except GatewayUnavailable as error:
                _logger.info("reconciliation postponed", error=str(error))

    async def _reconcile(self, age_s: float) -> None:
        """Reconcile the calls that were started at least ``age_s`` seconds ago; declare lost what stays absent."""
        absent: list[_OpenCall] = []
        async for page in self._pages(age_s):
            absent += await self._look_up(page)
        if not absent:
            return
        await asyncio.sleep(RECHECK_AFTER_S)
        for first in range(0, len(absent), PAGE_SIZE):
            for call in await self._look_up(absent[first : first + PAGE_SIZE]):
                metrics.RECONCILED.labels("lost").inc()
                _logger.warning("call lost", call_id=call.id)
                self._record(CallOver(call.id, _LOST))

    async def _pages(self, age_s: float) -> AsyncGenerator[list[_OpenCall]]:
        last = _FIRST_ID
        while True:
            async with self._term.pool.connection() as connection:
                values = (CALL_AGE_MAX_S, self._term.lease.gateway, last, age_s, PAGE_SIZE)
                page = [_OpenCall(*row) for row in await (await connection.execute(_PAGE, values)).fetchall()]
            if not page:
                return
            last = page[-1].id
            yield page

    async def _look_up(self, calls: Sequence[_OpenCall]) -> list[_OpenCall]:
        """Record the states that the switch knows; return the calls that are absent there."""
        calls = await self._without_undialled([call for call in calls if not self._placer.is_in_flight(call.id)])
        if not calls:
            return []
        await self._recorder.wait_for_room()
        states = await self._term.gateway.find([call.id for call in calls])
        for call, state in zip(calls, states, strict=True):
            if call.is_overdue and isinstance(state, Live):
                await self._hang_up_overdue(call.id)
        return [call for call, state in zip(calls, states, strict=True) if not self._record_state(call, state)]

    async def _without_undialled(self, calls: Sequence[_OpenCall]) -> list[_OpenCall]:
        """Record calls as not dialled whose worker is certain of it; return the others."""
        async with self._term.pool.connection() as connection:
            marked = await undialled(connection, [call.id for call in calls])
        for call_id in marked:
            metrics.RECONCILED.labels("not_dialled").inc()
            self._record(CallOver(call_id, _NOT_DIALLED))
        return [call for call in calls if call.id not in marked]

    async def _hang_up_overdue(self, call_id: str) -> None:
        """Hang up a call that lasts too long, once; its end arrives as any other's, or is found the next time."""
        if call_id in self._overdue or not self._term.lease.permits_command():
            return
        await self._term.gateway.hang_up(call_id)
        self._overdue.add(call_id)
        metrics.OVERDUE.inc()
        _logger.warning("overdue call hung up", call_id=call_id, age_max_s=CALL_AGE_MAX_S)

    def _record(self, event: CallProgressed | CallOver) -> None:
        self._recorder.add(event)
        # RINGING_A and RINGING_B from a query show only that the leg was tried, not that it works.
        is_proof = isinstance(event, CallOver) or event.progress is Progress.JOINED
        if is_proof:
            self._term.update_breaker(event, is_found=True)

    def _record_state(self, call: _OpenCall, state: CallState) -> bool:
        """Record what the state implies; return whether the switch knows the call."""
        match state:
            case Live(progress=progress):
                metrics.RECONCILED.labels("adopted").inc()
                self._record(CallProgressed(call.id, progress))
            case Ended(end=end, at=at) if at >= call.started_at - CLOCK_SKEW_MAX:
                metrics.RECONCILED.labels("ended").inc()
                self._record(CallOver(call.id, end))
            case Ended() | Absent():
                return False
            case _:
                assert_never(state)
        return True
