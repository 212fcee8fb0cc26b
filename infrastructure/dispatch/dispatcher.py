"""The worker's part that has due callbacks dialled, and records what became of them (design.md §5)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager

import psycopg
import structlog

from application.errors import StorageUnavailable
from application.ports.call_gateway import CallGateway
from infrastructure.dispatch import metrics
from infrastructure.dispatch.call_placer import Announce
from infrastructure.dispatch.gateway_state import read_standing
from infrastructure.dispatch.leader import lead
from infrastructure.dispatch.leadership_term import Term
from infrastructure.dispatch.lease import Fenced, Lease
from infrastructure.dispatch.pacing import BOUNDLESS, Pace, Pacing
from infrastructure.event_log.log import read_identity
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import NewEvents, woken

CHANNEL = "timetable"

_STAND_BY_S = 0.5
_CONNECTIONS = 6  # for starting, recording, the lease, and those who look now and then

Connect = Callable[[], AbstractAsyncContextManager[CallGateway]]

_logger = structlog.get_logger(__name__)


async def run_dispatcher(
    dsn: str, connect: Connect, stop: asyncio.Event, *, gateway: str, announce: Announce, pace: Pace = BOUNDLESS
) -> None:
    """Lead the gateway whenever nobody else does, until ``stop`` is set; then see to it that what is started is dialled.

    Calls that run are left to the switch, and to the next leader. Recovers by itself when Postgres or the switch come
    back: a term ends with the first trouble, and the next one asks the switch about all that is open.

    Args:
        dsn: the database, for the service's role.
        connect: connects to the switch, once for each term of leadership.
        stop: ends it.
        gateway: the switch's name; of the workers with the same name one leads.
        announce: makes the first attempts of webhooks that the dial waits for, and returns when it need wait no longer.
        pace: how much the switch bears.
    """
    pool, timetable = Pool(dsn, size=_CONNECTIONS, name="dispatcher"), NewEvents(dsn, CHANNEL)
    lease, due, hang_up = Lease(pool, gateway), timetable.subscribe(), timetable.subscribe()
    await pool.open()
    listening = asyncio.create_task(timetable.run())

    async def serve() -> None:
        async with pool.connection() as connection:
            identity = await read_identity(connection)
            pacing = Pacing(pace, await read_standing(connection, gateway))
        async with connect() as switch:
            await lead(Term(lease, pool, switch, identity, pacing, due=due, hang_up=hang_up), announce, stop)

    try:
        while not stop.is_set():
            if not await _one_term(lease, serve):
                await woken(stop, _STAND_BY_S)
    finally:
        listening.cancel()
        await pool.close()


async def _one_term(lease: Lease, serve: Callable[[], Awaitable[None]]) -> bool:
    """Lead for a term, if nobody else does; answer whether it came to its end without trouble."""
    try:
        if not await lease.take():
            return False
    except StorageUnavailable as error:
        _logger.warning("no database", error=str(error))
        return False
    _logger.info("became leader", gateway=lease.gateway, fence=lease.fence)
    metrics.LEADING.labels(lease.gateway).set(1)
    whole = False
    try:
        await serve()
        whole = True
    except* (Fenced, StorageUnavailable, psycopg.Error) as trouble:
        _logger.warning("no longer leader", gateway=lease.gateway, fence=lease.fence, reasons=[*_reasons(trouble)])
    finally:
        metrics.nobody_leads(lease.gateway)
        await lease.release()
    if (task := asyncio.current_task()) and task.cancelling():
        raise asyncio.CancelledError  # Python 3.11 forgets it when a task of the group failed at the same time
    return whole


def _reasons(trouble: BaseExceptionGroup[Exception]) -> Iterator[str]:
    for one in trouble.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _reasons(one)
        else:
            yield f"{type(one).__name__}: {one}"
