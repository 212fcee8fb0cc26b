"""The worker's part that delivers webhooks, and the sender of first attempts for the dispatcher."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
import structlog

from application.errors import StorageUnavailable
from application.fair_share import FairShare
from application.webhook_options import WebhookOptions
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import WEBHOOKS, Listener, wait_or_timeout
from infrastructure.webhooks.attempt import AttemptSender
from infrastructure.webhooks.delivery_loop import DeliveryLoop
from infrastructure.webhooks.expiry import Expiry
from infrastructure.webhooks.first_attempts import FirstAttemptSender
from infrastructure.webhooks.idle_lanes import IdleLanes
from infrastructure.webhooks.lane_leases import LEASE_BEYOND_TIMEOUT_S
from infrastructure.webhooks.name_lookup import Lookup
from infrastructure.webhooks.retention import delete_old_deliveries, update_gauges
from infrastructure.webhooks.secrets import SigningKeys
from infrastructure.webhooks.sender import LOOKUPS_MAX, open_sender

_EXPIRE_EVERY_S = 1.0
_GAUGES_EVERY_S = 5.0
_DELETE_EVERY_S = 60.0

_logger = structlog.get_logger(__name__)


@asynccontextmanager
async def open_first_attempt_sender(pool: Pool, options: WebhookOptions) -> AsyncGenerator[FirstAttemptSender]:
    """Yield a sender of first attempts; at the end, finish and record those in flight."""
    places = FairShare("DNS look-ups of first attempts", LOOKUPS_MAX)
    async with open_sender(options, places=places) as sender:
        attempts = AttemptSender(sender, SigningKeys(pool, options.secrets_key))
        lease_s = options.timeout + LEASE_BEYOND_TIMEOUT_S
        first_attempts = FirstAttemptSender(pool, attempts, options.before_wait, lease_s)
        try:
            yield first_attempts
        finally:
            await first_attempts.drain()


async def run_deliveries(
    pool: Pool, listener: Listener, stop: asyncio.Event, options: WebhookOptions, lookup: Lookup | None = None
) -> None:
    """Deliver webhooks until ``stop`` is set; then finish the attempts in flight, within eight seconds.

    ``lookup`` replaces the look-up of names. Any number of processes may run this at once. Recovers by itself when Postgres
    comes back.
    """
    if networks := options.targets.allowed:
        _logger.warning("webhooks may go to private networks", networks=[str(network) for network in networks])
    async with open_sender(options, lookup) as sender, asyncio.TaskGroup() as group:
        attempts = AttemptSender(sender, SigningKeys(pool, options.secrets_key))
        loop = DeliveryLoop(pool, attempts, listener.channel(WEBHOOKS).subscribe(), options.timeout)
        group.create_task(loop.run(stop))
        for seconds, task in (
            (_EXPIRE_EVERY_S, Expiry().expire_deliveries),
            (_GAUGES_EVERY_S, update_gauges),
            (_DELETE_EVERY_S, delete_old_deliveries),
            (_DELETE_EVERY_S, IdleLanes().delete_idle_lanes),
        ):
            group.create_task(_repeat(seconds, task, pool, stop))


async def _repeat(seconds: float, task: Callable[[Pool], Awaitable[None]], pool: Pool, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await task(pool)
        except (StorageUnavailable, psycopg.Error) as error:
            _logger.warning("periodic task failed", task=task.__name__, error=str(error))
        await wait_or_timeout(stop, seconds)
