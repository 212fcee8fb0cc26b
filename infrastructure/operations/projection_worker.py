"""The worker's part that keeps projections and policies up with the log."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import structlog

from application.errors import StorageUnavailable
from infrastructure.event_log.idempotency_cleanup import delete_expired_idempotency_keys
from infrastructure.operations.subscribers import HANDLERS, handlers
from infrastructure.operations.view_lag import READERS, PostgresViewLag
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import Listener, wait_or_timeout
from infrastructure.subscriptions import metrics
from infrastructure.subscriptions.runner import Runner

_LAG_EVERY_S = 5.0
_CLEAN_EVERY_S = 60.0

_logger = structlog.get_logger(__name__)


async def run_projections(dsn: str, stop: asyncio.Event) -> None:
    """Keep all views and policies up with the log, their lag in the metrics, and old claims out, until ``stop`` is set.

    ``dsn`` is the service's. A batch that is under way is finished first. Recovers by itself when Postgres comes back.
    """
    pool = Pool(dsn, size=len(HANDLERS) + 1, name="projections")
    new_events, readers = Listener(dsn), Listener(dsn, READERS)
    positions = PostgresViewLag(pool)

    async def show_lags() -> None:
        for lag in await positions.lags():
            metrics.show(lag)

    async def clean() -> None:
        await delete_expired_idempotency_keys(pool)

    await pool.open()
    try:
        async with asyncio.TaskGroup() as group:
            listening = [group.create_task(heard.run()) for heard in (new_events, readers)]
            for handler in handlers().values():
                group.create_task(Runner(handler, pool, new_events, readers).run(stop))
            group.create_task(_every(_LAG_EVERY_S, show_lags, stop))
            group.create_task(_every(_CLEAN_EVERY_S, clean, stop))
            await stop.wait()
            for heard, task in zip((new_events, readers), listening, strict=True):
                heard.wake_all()
                task.cancel()
    finally:
        await pool.close()


async def _every(seconds: float, do: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await do()
        except (StorageUnavailable, psycopg.Error) as error:
            _logger.warning("not now", what=do.__name__, error=str(error))
        await wait_or_timeout(stop, seconds)
