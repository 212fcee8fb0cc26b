"""Placing calls that are on record: the webhook before, then the switch."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import assert_never
from uuid import UUID

from application.ports.call_gateway import Call, CallOver, GatewayDown, Placed
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.dispatch import metrics
from infrastructure.dispatch.attempt_starter import Started
from infrastructure.dispatch.leadership_term import Term
from infrastructure.dispatch.outcome_recorder import Recording
from infrastructure.postgres.notifications import woken
from infrastructure.webhooks.outbox import Message

MOST_IN_HAND = 2000  # as many wait at a time for their webhooks, or for the switch to answer
_LOOK_EVERY_S = 1.0  # whether a pause is over; of all else they hear

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
        self._turn = asyncio.Lock()
        self._is_leaving = False

    @property
    def room(self) -> int:
        """How many more can be taken in hand."""
        return MOST_IN_HAND - len(self._in_hand)

    @property
    def in_hand(self) -> int:
        """How many are."""
        return len(self._in_hand)

    def has_in_hand(self, call_id: str) -> bool:
        """Whether it is still open if, and how, the switch comes to know of the call."""
        return call_id in self._in_hand

    def give_up(self, call_id: str) -> bool:
        """Have a call not dialled that was not yet; answer whether that was so."""
        if call_id not in self._wanted:
            return False
        self._wanted.discard(call_id)
        self._term.stir()
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
        """Wait until nothing is in hand. What cannot be dialled now is left to the next leader, who finds it lost."""
        self._is_leaving = True
        self._term.stir()
        while self._in_hand:
            self._placed.clear()
            await self._placed.wait()

    async def _place(self, started: Started, began: float) -> None:
        call = started.call
        if started.message:
            await self._announce([started.message], self._term.lease.holder)
        while await self._has_turn(call.id):
            metrics.LATENESS.observe(started.late_s + time.monotonic() - began)
            if await self._dial(call):
                break
        self._in_hand.discard(call.id)
        self._wanted.discard(call.id)
        self._placed.set()

    async def _has_turn(self, call_id: str) -> bool:
        """Wait until the call may be dialled; answer no when it is not to be, by this worker at least."""
        async with self._turn:
            while call_id in self._wanted:
                if not (self._term.link_is_up and self._term.pacing.breaker.admits(call_id)):
                    if self._is_leaving:
                        return False
                    await woken(self._term.changed, _LOOK_EVERY_S)
                elif wait_s := self._term.pacing.placing.seconds_until(1):
                    await asyncio.sleep(wait_s)
                else:
                    self._term.pacing.placing.take(1)
                    return self._term.lease.may_speak()
        self._tell(CallOver(call_id, _NEVER_DIALLED))
        return False

    async def _dial(self, call: Call) -> bool:
        """Have the call dialled; answer no when there was no switch that could have refused it: then it waits for one."""
        self._wanted.discard(call.id)
        placed = await self._term.gateway.place(call)
        if placed is Placed.REFUSED and not await self._switch_is_there(call.id):
            self._wanted.add(call.id)
            await woken(self._term.changed, _LOOK_EVERY_S)
            return False
        self._answered(call.id, placed)
        return True

    async def _switch_is_there(self, call_id: str) -> bool:
        try:
            await self._term.gateway.find([call_id])
        except GatewayDown:
            return False
        return True

    def _tell(self, news: CallOver) -> None:
        self._recording.hear(news)
        self._term.weigh(news)

    def _answered(self, call_id: str, placed: Placed) -> None:
        metrics.PLACED.labels(placed).inc()
        match placed:
            case Placed.ACCEPTED:
                pass
            case Placed.REFUSED:
                self._tell(CallOver(call_id, _REFUSED))
            case Placed.UNKNOWN:
                self._term.doubt.set()
            case _:
                assert_never(placed)
