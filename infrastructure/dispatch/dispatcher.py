"""The dispatcher, a part of the worker: has due callbacks dialled and records how their calls end (docs/adr/0009-one-fenced-leader-dials.md)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress

import psycopg
import structlog

from application.errors import StorageUnavailable
from application.ports.call_gateway import CallGateway
from domain.organization.limits import Limits
from infrastructure.dispatch import metrics
from infrastructure.dispatch.call_placer import Announce
from infrastructure.dispatch.gateway_state import read_gateway_state
from infrastructure.dispatch.handover import Handover
from infrastructure.dispatch.leader import lead
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.lease import Fenced, Lease
from infrastructure.dispatch.pacing import UNLIMITED, Pace, Pacing
from infrastructure.event_log.identity import read_identity
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import TIMETABLE, Listener, wait_or_timeout

_STAND_BY_S = 0.5

Connect = Callable[[], AbstractAsyncContextManager[CallGateway]]

_logger = structlog.get_logger(__name__)


async def run_dispatcher(
    pool: Pool,
    listener: Listener,
    connect: Connect,
    stop: asyncio.Event,
    *,
    gateway: str,
    announce: Announce,
    pace: Pace = UNLIMITED,
    limits: Limits | None = None,
) -> None:
    """Lead the gateway whenever no other worker does, until ``stop`` is set; then drain: dial what is started.

    Live calls are left to the switch, and to the next leader. Recovers by itself when Postgres or the switch come back:
    a term ends with the first error, and the next one reconciles all open calls with the switch.

    Args:
        pool: connections for starter, recorder, lease, and the loops that poll.
        listener: listens to the timetable.
        connect: connects to the switch, once for each term of leadership.
        stop: set to end the dispatcher.
        gateway: the name of the gateway's kind; of the workers with the same name one leads.
        announce: makes the first delivery attempts of webhooks that the dial waits for; returns when it need not wait any
            longer.
        pace: the limits of the switch and its trunks.
        limits: the limits of organisations that have none of their own.
    """
    timetable = listener.channel(TIMETABLE)
    lease, due, hang_up = Lease(pool, gateway), timetable.subscribe(), timetable.subscribe()
    handover = Handover(pool, gateway)
    marking = asyncio.create_task(handover.run())

    async def serve() -> None:
        async with pool.connection() as connection:
            identity = await read_identity(connection)
            pacing = Pacing(pace, await read_gateway_state(connection, gateway))
        async with connect() as switch:
            term = LeadershipTerm(lease, pool, switch, identity, pacing, due=due, hang_up=hang_up)
            stop_observing = timetable.observe(term.note_news)
            try:
                await lead(term, announce, stop, limits or Limits())
            finally:
                stop_observing()
                handover.leave(lease.fence, term.undialled)

    try:
        while not stop.is_set():
            if not await _one_term(lease, serve):
                await wait_or_timeout(stop, _STAND_BY_S)
    finally:
        marking.cancel()
        with suppress(StorageUnavailable, psycopg.Error):
            await handover.mark()


async def _one_term(lease: Lease, serve: Callable[[], Awaitable[None]]) -> bool:
    """Lead for a term, if no other worker leads; return whether the term ended without an error."""
    try:
        if not await lease.acquire():
            return False
    except StorageUnavailable as error:
        _logger.warning("database unavailable", error=str(error))
        return False
    _logger.info("leadership acquired", gateway=lease.gateway, fence=lease.fence)
    metrics.LEADING.labels(lease.gateway).set(1)
    is_complete = False
    try:
        await serve()
        is_complete = True
    except* (Fenced, StorageUnavailable, psycopg.Error) as errors:
        _logger.warning("leadership lost", gateway=lease.gateway, fence=lease.fence, reasons=[*_reasons(errors)])
    finally:
        metrics.reset_gauges(lease.gateway)
        await lease.release()
    if (task := asyncio.current_task()) and task.cancelling():
        raise asyncio.CancelledError  # Python 3.11 forgets it when a task of the group failed at the same time
    return is_complete


def _reasons(errors: BaseExceptionGroup[Exception]) -> Iterator[str]:
    for one in errors.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _reasons(one)
        else:
            yield f"{type(one).__name__}: {one}"
