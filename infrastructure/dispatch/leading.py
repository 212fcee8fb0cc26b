"""A term of leadership: the parts that work side by side while it lasts."""

import asyncio
import time
from typing import assert_never

import structlog

from application.gateway import CallOver, LinkDown, LinkUp, Progressed
from infrastructure.dispatch.hanging_up import HangingUp
from infrastructure.dispatch.placing import Announce, Placing
from infrastructure.dispatch.reconciling import Reconciling
from infrastructure.dispatch.recording import Recording
from infrastructure.dispatch.starting import Starting
from infrastructure.dispatch.sweeping import Sweeping
from infrastructure.dispatch.term import Term
from infrastructure.new_events import woken

POLL_S = 1.0

_logger = structlog.get_logger(__name__)


async def lead(term: Term, announce: Announce, stop: asyncio.Event) -> None:
    """Dispatch until ``stop`` is set, then until what was started is dialled and what was heard is recorded.

    Raises an ExceptionGroup of Fenced, StorageAway, psycopg.Error: then it is over at once.
    """
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
    """Start what is due as soon as it is, as long as the switch can be reached; sweep deleted queues each second."""
    starting, sweeping = Starting(term), Sweeping(term)
    swept_at = 0.0
    while not stop.is_set():
        term.due.clear()
        if time.monotonic() >= swept_at + POLL_S:
            swept_at = time.monotonic() if await sweeping.sweep() == 0 else 0.0
        if not term.link_is_up:
            await woken(term.due, POLL_S)
        elif room := placing.room:
            started = await starting.start(room)
            placing.take(started)
            if not started:
                next_in = await starting.seconds_to_next()
                await woken(term.due, min(POLL_S, max(0.0, POLL_S if next_in is None else next_in)))
        else:
            await placing.make_room()


async def _wake_at(stop: asyncio.Event, due: asyncio.Event) -> None:
    await stop.wait()
    due.set()


async def _listen(term: Term, recording: Recording) -> None:
    """Take what the switch tells."""
    async for events in term.gateway.events():
        for event in events:
            if isinstance(event, Progressed | CallOver):
                recording.hear(event)
            else:
                await _follow_link(term, event)
        await recording.room()


async def _follow_link(term: Term, event: LinkUp | LinkDown) -> None:
    match event:
        case LinkUp(started=started):
            _logger.info("the switch is reached", gateway=term.lease.gateway, started=started)
            term.link_is_up = True
            await term.lease.show_link(up=True)
            term.doubt.set()
            term.due.set()
        case LinkDown():
            _logger.warning("the switch is away, nothing is started", gateway=term.lease.gateway)
            term.link_is_up = False
            await term.lease.show_link(up=False)
        case _:
            assert_never(event)
