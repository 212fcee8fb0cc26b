"""Placing calls that are on record: the webhook before, then the switch."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import assert_never
from uuid import UUID

from application.gateway import CallOver, Placed
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.dispatch import metrics
from infrastructure.dispatch.recording import Recording
from infrastructure.dispatch.starting import Started
from infrastructure.dispatch.term import Term
from infrastructure.webhooks.outbox import Message

MOST_IN_HAND = 2000  # as many wait at a time for their webhooks, or for the switch to answer

_NEVER_DIALLED = CallEnd(outcome=Outcome.CANCELLED, leg=Leg.A)
_REFUSED = CallEnd(outcome=Outcome.CONGESTION, leg=Leg.A)

Announce = Callable[[Sequence[Message], UUID], Awaitable[None]]


class Placing:
    """Has the switch dial what was started, all at once."""

    def __init__(self, term: Term, recording: Recording, announce: Announce, group: asyncio.TaskGroup) -> None:
        """Place for as long as the term lasts, in tasks of ``group``."""
        self._term = term
        self._recording = recording
        self._announce = announce
        self._group = group
        self._in_hand: set[str] = set()
        self._wanted: set[str] = set()
        self._placed = asyncio.Event()

    @property
    def room(self) -> int:
        """How many more can be taken in hand."""
        return MOST_IN_HAND - len(self._in_hand)

    def has_in_hand(self, call_id: str) -> bool:
        """Whether it is still open if, and how, the switch comes to know of the call."""
        return call_id in self._in_hand

    def give_up(self, call_id: str) -> bool:
        """Have a call not dialled that was not yet; answer whether that was so."""
        if call_id not in self._wanted:
            return False
        self._wanted.discard(call_id)
        return True

    def take(self, started: Iterable[Started]) -> None:
        """Place these, each once its webhook was tried."""
        now = time.monotonic()
        for one in started:
            self._in_hand.add(one.call.id)
            self._wanted.add(one.call.id)
            self._group.create_task(self._place(one, now))

    async def make_room(self) -> None:
        """Wait until one more can be taken in hand."""
        while self.room <= 0:
            self._placed.clear()
            await self._placed.wait()

    async def drain(self) -> None:
        """Wait until nothing is in hand."""
        while self._in_hand:
            self._placed.clear()
            await self._placed.wait()

    async def _place(self, started: Started, began: float) -> None:
        call = started.call
        if started.message:
            await self._announce([started.message], self._term.lease.holder)
        if call.id not in self._wanted:
            self._recording.hear(CallOver(call.id, _NEVER_DIALLED))
        elif self._term.lease.may_speak():
            self._wanted.discard(call.id)
            metrics.LATENESS.observe(started.late_s + time.monotonic() - began)
            self._answered(call.id, await self._term.gateway.place(call))
        self._in_hand.discard(call.id)
        self._wanted.discard(call.id)
        self._placed.set()

    def _answered(self, call_id: str, placed: Placed) -> None:
        metrics.PLACED.labels(placed).inc()
        match placed:
            case Placed.ACCEPTED:
                pass
            case Placed.REFUSED:
                self._recording.hear(CallOver(call_id, _REFUSED))
            case Placed.UNKNOWN:
                self._term.doubt.set()
            case _:
                assert_never(placed)
