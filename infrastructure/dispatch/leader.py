"""The leader of a gateway: the loops that run side by side during a term of leadership."""

import asyncio
import time
from math import inf
from typing import assert_never

import structlog

from application.ports.call_gateway import CallOver, CallProgressed, LinkDown, LinkUp
from domain.organization.limits import Limits
from infrastructure.dispatch import metrics
from infrastructure.dispatch.attempt_starter import AttemptStarter
from infrastructure.dispatch.call_placer import Announce, CallPlacer
from infrastructure.dispatch.deleted_queue_sweeper import DeletedQueueSweeper
from infrastructure.dispatch.hangup_loop import HangupLoop
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.line_wait_release import LineWaitRelease
from infrastructure.dispatch.line_waits import idle_lines
from infrastructure.dispatch.organization_turns import read_turns
from infrastructure.dispatch.outcome_recorder import OutcomeRecorder
from infrastructure.dispatch.reconciler import Reconciler
from infrastructure.postgres.notifications import wait_or_timeout

POLL_S = 1.0

_RETRY_S = 0.01  # after a search that found only what another transaction holds
_READING_SHARE = 0.02  # of the time, at most, for reading the turns of all organisations

_logger = structlog.get_logger(__name__)


async def lead(term: LeadershipTerm, announce: Announce, stop: asyncio.Event, limits: Limits) -> None:
    """Dispatch until ``stop`` is set; then drain: dial what was started and record the events that arrived.

    Raises an ExceptionGroup of Fenced, StorageUnavailable, psycopg.Error: then the term is over at once.
    """
    metrics.OPEN_CALLS.set(term.pacing.open_calls)
    async with asyncio.TaskGroup() as group:
        recorder = OutcomeRecorder(term)
        placer = CallPlacer(term, recorder, announce, group)
        loops = (
            term.lease.keep(term.full_for),
            recorder.run(),
            _receive_events(term, recorder),
            Reconciler(term, recorder, placer).run(),
            HangupLoop(term, placer.cancel).run(),
            _read_turns(term),
            DeletedQueueSweeper(term).run(),
            LineWaitRelease(term).run(),
            _wake_at(stop, term.due),
        )
        tasks = [group.create_task(loop) for loop in loops]
        await _dispatch(term, placer, stop, limits)
        await placer.drain()
        await recorder.drain()
        for task in tasks:
            task.cancel()


async def _dispatch(term: LeadershipTerm, placer: CallPlacer, stop: asyncio.Event, limits: Limits) -> None:
    """Start callbacks as soon as they are due and may start.

    After a full batch, more are probably due. Otherwise a search precedes: it is far cheaper than a start that finds nothing.
    """
    starter = AttemptStarter(term, limits)
    while not stop.is_set():
        term.due.clear()
        await starter.release_lines()
        room = int(min(term.batch_max, term.pacing.room())) if term.link_is_up else 0
        next_in_s = inf if not room else 0.0 if starter.was_full else await starter.seconds_to_next()
        if next_in_s <= 0:
            batch = await starter.start(room)
            placer.place(batch.started)
            if batch.is_any_settled:
                continue
            next_in_s = _RETRY_S
        await _save_changed_state(term)
        if room:
            await wait_or_timeout(term.due, min(POLL_S, max(0.0, next_in_s)))
        else:
            await _wait_while_held(term)


async def _read_turns(term: LeadershipTerm) -> None:
    """Read whose turn it may be: when notifications may have been missed, and from time to time, as they may never come."""
    while True:
        term.read_turns_now.clear()
        began = time.monotonic()
        async with term.pool.connection() as connection:
            term.turns.load(await read_turns(connection))
            term.free_lines.update(await idle_lines(connection))
        term.due.set()
        rest_s = max(POLL_S, (time.monotonic() - began) / _READING_SHARE)
        await wait_or_timeout(term.read_turns_now, rest_s)


async def _wait_while_held(term: LeadershipTerm) -> None:
    """Wait until calls may start, or something changes; count the time by its cause."""
    by, seconds = term.pacing.held_by() if term.link_is_up else ("link", inf)
    began = time.monotonic()
    await wait_or_timeout(term.due, min(POLL_S, seconds))
    metrics.HELD.labels(by).inc(time.monotonic() - began)


async def _save_changed_state(term: LeadershipTerm) -> None:
    """Store the gateway's state, if it has changed."""
    if state := term.pacing.changed_state():
        await term.lease.save_gateway_state(state)


async def _wake_at(stop: asyncio.Event, due: asyncio.Event) -> None:
    await stop.wait()
    due.set()


async def _receive_events(term: LeadershipTerm, recorder: OutcomeRecorder) -> None:
    """Pass the events of the switch on, with backpressure from the recorder."""
    async for events in term.gateway.events():
        for event in events:
            if isinstance(event, CallProgressed | CallOver):
                recorder.add(event)
                term.update_breaker(event)
            else:
                await _handle_link_event(term, event)
        await recorder.wait_for_room()


async def _handle_link_event(term: LeadershipTerm, event: LinkUp | LinkDown) -> None:
    match event:
        case LinkUp(started=started):
            _logger.info("switch connected", gateway=term.lease.gateway, started=started)
            term.link_is_up = True
            term.pacing.breakers.gateway.link_up(started)
            term.report_breaker()
            await term.lease.save_link(up=True)
            term.reconcile_now.set()
            term.notify_changed()
        case LinkDown():
            _logger.warning("switch disconnected", gateway=term.lease.gateway)
            term.link_is_up = False
            term.pacing.breakers.gateway.link_down()
            term.notify_changed()
            await term.lease.save_link(up=False)
        case _:
            assert_never(event)
