"""Places recorded calls: announces each to webhooks first, then has the switch dial it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import inf
from typing import assert_never
from uuid import UUID

import structlog

from application.fair_share import FairShare
from application.policies.notify_webhooks import Message
from application.ports.call_gateway import Call, CallOver, GatewayUnavailable, PlaceResult
from application.ports.webhooks import Untold
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.dispatch import metrics
from infrastructure.dispatch.breakers import Admission
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.outcome_recorder import OutcomeRecorder
from infrastructure.dispatch.pacing import IN_FLIGHT_MAX
from infrastructure.dispatch.started_attempt import StartedAttempt
from infrastructure.postgres.notifications import wait_or_timeout

_POLL_S = 1.0  # to notice the end of a pause; all other changes notify

_HUNG_UP = CallEnd(outcome=Outcome.CANCELLED, leg=Leg.A)
_NOT_DIALLED = CallEnd(outcome=Outcome.NOT_DIALLED)
_REFUSED = CallEnd(outcome=Outcome.CONGESTION, leg=Leg.A)

Announce = Callable[[Sequence[Message], UUID], Awaitable[Untold | None]]
"""Sends webhooks before a call is dialled; returns why a receiver has not accepted one, or None."""

_logger = structlog.get_logger(__name__)


class CallPlacer:
    """Has the switch dial started attempts, all of them concurrently."""

    def __init__(
        self, term: LeadershipTerm, recorder: OutcomeRecorder, announce: Announce, group: asyncio.TaskGroup
    ) -> None:
        """Prepare to place calls for as long as the term lasts, in tasks of ``group``."""
        self._term = term
        self._recorder = recorder
        self._announce = announce
        self._group = group
        self._in_flight: set[str] = set()
        self._placed = asyncio.Event()
        self._turns = FairShare("turns to dial", 1, waiting_max=IN_FLIGHT_MAX)
        self._is_draining = False

    def is_in_flight(self, call_id: str) -> bool:
        """Return whether the call has not reached the switch yet, or its response is pending."""
        return call_id in self._in_flight

    def cancel(self, call_id: str) -> bool:
        """Prevent an undialled call from being dialled; return whether it was undialled."""
        if call_id not in self._in_flight or call_id not in self._term.undialled:
            return False
        self._term.undialled.discard(call_id)
        self._term.notify_changed()
        return True

    def place(self, started: Iterable[StartedAttempt]) -> None:
        """Place these calls, each after the first delivery attempt of its webhook."""
        now = time.monotonic()
        for one in started:
            self._in_flight.add(one.call.id)
            self._group.create_task(self._place(one, now))

    async def drain(self) -> None:
        """Wait until no call is in flight. Calls that cannot be dialled now are recorded as not dialled."""
        self._is_draining = True
        self._term.notify_changed()
        while self._in_flight:
            self._placed.clear()
            await self._placed.wait()

    async def _place(self, started: StartedAttempt, began: float) -> None:
        call, organization_id, untold = started.call, started.open_call.organization_id, None
        if started.message:
            untold = await self._announce([started.message], self._term.lease.holder)
        while await self._wait_for_turn(call.id, organization_id):
            metrics.LATENESS.observe(started.late_s + time.monotonic() - began)
            if await self._dial(call):
                _note_untold(started, untold)
                break
        self._in_flight.discard(call.id)
        self._term.pacing.dialled(organization_id)
        self._term.due.set()
        self._placed.set()

    async def _wait_for_turn(self, call_id: str, organization_id: int) -> bool:
        """Wait until the call may be dialled, round-robin over organisations. Return False when this worker must not dial it."""
        await self._turns.acquire(organization_id, timeout_s=inf)
        try:
            while call_id in self._term.undialled:
                admission = self._term.pacing.breakers.admission(call_id)
                if admission is Admission.NEVER:
                    return self._end_undialled(call_id, _NOT_DIALLED)
                if not self._term.link_is_up or admission is Admission.WAIT:
                    if self._is_draining:
                        return self._end_undialled(call_id, _NOT_DIALLED)
                    await wait_or_timeout(self._term.changed, _POLL_S)
                elif wait_s := self._term.pacing.dial_bucket.seconds_until(1):
                    await asyncio.sleep(wait_s)
                else:
                    self._term.pacing.dial_bucket.consume(1)
                    return self._term.lease.permits_command()
        finally:
            self._turns.release(organization_id)
        return self._end_undialled(call_id, _HUNG_UP)

    def _end_undialled(self, call_id: str, end: CallEnd) -> bool:
        """Record the end of a call that is not going to be dialled; return False."""
        self._term.undialled.discard(call_id)
        self._record_end(CallOver(call_id, end))
        return False

    async def _dial(self, call: Call) -> bool:
        """Place the call; return False when no switch was connected that could refuse it: the call then waits for one."""
        self._term.undialled.discard(call.id)
        result = await self._term.gateway.place(call)
        if result is PlaceResult.REFUSED and not await self._switch_responds(call.id):
            self._term.undialled.add(call.id)
            await wait_or_timeout(self._term.changed, _POLL_S)
            return False
        self._handle_result(call.id, result)
        return True

    async def _switch_responds(self, call_id: str) -> bool:
        try:
            await self._term.gateway.find([call_id])
        except GatewayUnavailable:
            return False
        return True

    def _record_end(self, event: CallOver) -> None:
        self._recorder.add(event)
        self._term.update_breaker(event)

    def _handle_result(self, call_id: str, result: PlaceResult) -> None:
        metrics.PLACED.labels(result).inc()
        match result:
            case PlaceResult.ACCEPTED:
                pass
            case PlaceResult.REFUSED:
                self._record_end(CallOver(call_id, _REFUSED))
            case PlaceResult.UNKNOWN:
                self._term.reconcile_now.set()
            case _:
                assert_never(result)


def _note_untold(started: StartedAttempt, untold: Untold | None) -> None:
    if untold:
        metrics.UNTOLD.labels(untold).inc()
        _logger.warning(
            "call dialled untold",
            reason=untold.value,
            callback_id=started.open_call.callback_id,
            organization_id=started.open_call.organization_id,
            call_id=started.call.id,
        )
