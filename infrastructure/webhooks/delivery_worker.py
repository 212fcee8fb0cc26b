"""The worker's part that delivers webhooks."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
import structlog

from application.errors import StorageUnavailable
from application.webhook_options import WebhookOptions
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import Listener, wait_or_timeout
from infrastructure.webhooks.attempt import AttemptSender
from infrastructure.webhooks.deliverer import DeliveryLoop
from infrastructure.webhooks.first_attempts import FirstAttemptSender
from infrastructure.webhooks.lane_leases import LEASE_BEYOND_TIMEOUT_S
from infrastructure.webhooks.outbox import CHANNEL
from infrastructure.webhooks.retention import delete_old_deliveries, expire_deliveries, update_gauges
from infrastructure.webhooks.secrets import SigningKeys
from infrastructure.webhooks.sender import open_sender

_EXPIRE_EVERY_S = 1.0
_GAUGES_EVERY_S = 5.0
_FORGET_EVERY_S = 60.0

_logger = structlog.get_logger(__name__)


@asynccontextmanager
async def open_first_attempt_sender(dsn: str, options: WebhookOptions) -> AsyncGenerator[FirstAttemptSender]:
    """Lend what makes first attempts; at the end those under way are ended and recorded. ``dsn`` is the service's."""
    pool = Pool(dsn, size=2, name="first webhooks")
    await pool.open()
    try:
        async with open_sender(options) as sender:
            attempts = AttemptSender(sender, SigningKeys(pool, options.secrets_key))
            lease_s = options.timeout + LEASE_BEYOND_TIMEOUT_S
            making = FirstAttemptSender(pool, attempts, options.before_wait, lease_s)
            try:
                yield making
            finally:
                await making.drain()
    finally:
        await pool.close()


async def run_deliveries(dsn: str, stop: asyncio.Event, options: WebhookOptions) -> None:
    """Deliver webhooks until ``stop`` is set; then end what is under way, within eight seconds.

    ``dsn`` is the service's. Any number of processes may do so at once. Recovers by itself when Postgres comes back.
    """
    if options.opened:
        _logger.warning("webhooks may go to private networks", networks=[str(network) for network in options.opened])
    pool = Pool(dsn, size=4, name="webhooks")
    news = Listener(dsn, CHANNEL)
    await pool.open()
    try:
        async with open_sender(options) as sender, asyncio.TaskGroup() as group:
            attempts = AttemptSender(sender, SigningKeys(pool, options.secrets_key))
            deliverer = DeliveryLoop(pool, attempts, news.subscribe(), options.timeout)
            listening = group.create_task(news.run())
            group.create_task(deliverer.run(stop))
            for seconds, do in (
                (_EXPIRE_EVERY_S, expire_deliveries),
                (_GAUGES_EVERY_S, update_gauges),
                (_FORGET_EVERY_S, delete_old_deliveries),
            ):
                group.create_task(_every(seconds, do, pool, stop))
            await stop.wait()
            news.wake_all()
            listening.cancel()
    finally:
        await pool.close()


async def _every(seconds: float, do: Callable[[Pool], Awaitable[None]], pool: Pool, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await do(pool)
        except (StorageUnavailable, psycopg.Error) as error:
            _logger.warning("not now", what=do.__name__, error=str(error))
        await wait_or_timeout(stop, seconds)
