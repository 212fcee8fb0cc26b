"""A term of leadership: the parts that work side by side while it lasts."""

import asyncio
import time
from math import inf
from typing import assert_never

import structlog

from application.ports.call_gateway import CallOver, LinkDown, LinkUp, Progressed
from infrastructure.dispatch import metrics
from infrastructure.dispatch.attempt_starter import Starting
from infrastructure.dispatch.call_placer import Announce, Placing
from infrastructure.dispatch.deleted_queue_sweeper import Sweeping
from infrastructure.dispatch.hangup_loop import HangingUp
from infrastructure.dispatch.leadership_term import Term
from infrastructure.dispatch.outcome_recorder import Recording
from infrastructure.dispatch.quarantine import BATCH
from infrastructure.dispatch.reconciler import Reconciling
from infrastructure.postgres.notifications import woken

POLL_S = 1.0

_logger = structlog.get_logger(__name__)


async def lead(term: Term, announce: Announce, stop: asyncio.Event) -> None:
    """Dispatch until ``stop`` is set, then until what was started is dialled and what was heard is recorded.

    Raises an ExceptionGroup of Fenced, StorageUnavailable, psycopg.Error: then it is over at once.
    """
    metrics.OPEN_CALLS.set(term.pacing.open_calls)
    async with asyncio.TaskGroup() as group:
        recording = Recording(term)
        placing = Placing(term, recording, announce, group)
        parts = (
            term.lease.keep(),
            recording.run(),
            _listen(term, recording),
            Reconciling(term, recording, placing).run(),
            HangingUp(term, placing).run(),
            _wake_at(stop, term.due),
        )
        beside = [group.create_task(part) for part in parts]
        await _dispatch(term, placing, stop)
        await placing.drain()
        await recording.drain()
        for task in beside:
            task.cancel()


async def _dispatch(term: Term, placing: Placing, stop: asyncio.Event) -> None:
    """Start what is due as soon as it is, and may be started; sweep deleted queues each second."""
    starting, sweeping = Starting(term), Sweeping(term)
    swept_at = 0.0
    while not stop.is_set():
        term.due.clear()
        if time.monotonic() >= swept_at + POLL_S:
            swept_at = time.monotonic() if await sweeping.sweep() == 0 else 0.0
        room = int(min(BATCH, placing.room, term.pacing.room(placing.in_hand))) if term.link_is_up else 0
        next_in_s = await starting.seconds_to_next() if room else inf  # far cheaper than to start nothing
        if next_in_s <= 0 and (started := await starting.start(room)):
            placing.take(started)
            continue
        await _show_standing(term)
        if room:
            await woken(term.due, min(POLL_S, max(0.0, next_in_s)))
        elif placing.room:
            await _held(term)
        else:
            await placing.make_room()


async def _held(term: Term) -> None:
    """Wait until calls may start, or may be about to."""
    by, seconds = term.pacing.held_by() if term.link_is_up else ("link", inf)
    began = time.monotonic()
    await woken(term.due, min(POLL_S, seconds))
    metrics.HELD.labels(by).inc(time.monotonic() - began)


async def _show_standing(term: Term) -> None:
    """Put down how the gateway stands, if that has changed."""
    if standing := term.pacing.news():
        await term.lease.show_standing(standing)


async def _wake_at(stop: asyncio.Event, due: asyncio.Event) -> None:
    await stop.wait()
    due.set()


async def _listen(term: Term, recording: Recording) -> None:
    """Take what the switch tells."""
    async for events in term.gateway.events():
        for event in events:
            if isinstance(event, Progressed | CallOver):
                recording.hear(event)
                term.weigh(event)
            else:
                await _follow_link(term, event)
        await recording.room()


async def _follow_link(term: Term, event: LinkUp | LinkDown) -> None:
    match event:
        case LinkUp(started=started):
            _logger.info("the switch is reached", gateway=term.lease.gateway, started=started)
            term.link_is_up = True
            term.pacing.breaker.link_up(started)
            term.show_breaker()
            await term.lease.show_link(up=True)
            term.doubt.set()
            term.stir()
        case LinkDown():
            _logger.warning("the switch is away, nothing is started", gateway=term.lease.gateway)
            term.link_is_up = False
            term.pacing.breaker.link_down()
            term.stir()
            await term.lease.show_link(up=False)
        case _:
            assert_never(event)
