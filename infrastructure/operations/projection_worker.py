"""The worker's part that keeps projections and policies up to date with the log."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import structlog

from application.errors import StorageUnavailable
from infrastructure.event_log.idempotency_cleanup import delete_expired_idempotency_keys
from infrastructure.operations.subscribers import handlers
from infrastructure.operations.view_lag import PostgresViewLag
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import NEW_EVENTS, READERS, Listener, wait_or_timeout
from infrastructure.read_models.registry import VIEWS
from infrastructure.subscriptions import metrics
from infrastructure.subscriptions.runner import Runner

_LAG_EVERY_S = 5.0
_CLEANUP_EVERY_S = 60.0
_VIEWS_AT_ONCE = 2  # the other connections of the pool are for policies and webhooks, whose batches are short

_logger = structlog.get_logger(__name__)


async def run_projections(pool: Pool, listener: Listener, stop: asyncio.Event) -> None:
    """Keep all views and policies up to date until ``stop`` is set.

    Meanwhile show their lag in the metrics, and delete expired idempotency keys. A batch that is being handled is finished
    first. Recovers when Postgres becomes available again.
    """
    new_events, readers = listener.channel(NEW_EVENTS), listener.channel(READERS)
    view_lag, turns_of_views = PostgresViewLag(pool), asyncio.Semaphore(_VIEWS_AT_ONCE)

    async def show_lags() -> None:
        for lag in await view_lag.lags():
            metrics.show(lag)

    async def clean_up() -> None:
        await delete_expired_idempotency_keys(pool)

    async with asyncio.TaskGroup() as group:
        for name, handler in handlers().items():
            turns = turns_of_views if name in VIEWS else None
            group.create_task(Runner(handler, pool, new_events, readers, turns).run(stop))
        group.create_task(_repeat(_LAG_EVERY_S, show_lags, stop))
        group.create_task(_repeat(_CLEANUP_EVERY_S, clean_up, stop))


async def _repeat(seconds: float, do: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await do()
        except (StorageUnavailable, psycopg.Error) as error:
            _logger.warning("periodic task failed", task=do.__name__, error=str(error), retry_s=seconds)
        await wait_or_timeout(stop, seconds)
