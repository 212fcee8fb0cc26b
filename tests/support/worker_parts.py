"""The parts of a worker, each alone with connections of its own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from application.webhook_options import WebhookOptions
from infrastructure.dispatch.dispatcher import Connect, run_dispatcher
from infrastructure.operations.projection_worker import run_projections
from infrastructure.postgres.connections import BACKGROUND_CONNECTIONS, Pool
from infrastructure.postgres.notifications import Listener
from infrastructure.postgres.sessions import BATCH
from infrastructure.webhooks.delivery_worker import open_first_attempt_sender, run_deliveries
from infrastructure.webhooks.first_attempts import FirstAttemptSender
from infrastructure.webhooks.name_lookup import Lookup


@asynccontextmanager
async def background_pool(dsn: str) -> AsyncGenerator[Pool]:
    """Yield a pool as a worker has it."""
    pool = Pool(dsn, size=BACKGROUND_CONNECTIONS, name="background", purpose=BATCH)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def connections(dsn: str, stop: asyncio.Event) -> AsyncGenerator[tuple[Pool, Listener]]:
    """Yield a pool, and a listener that runs until ``stop`` is set."""
    listener = Listener(dsn)
    async with background_pool(dsn) as pool:
        listening = asyncio.create_task(listener.run_until(stop))
        try:
            yield pool, listener
        finally:
            listening.cancel()
            await asyncio.wait([listening])
            if not listening.cancelled():
                listening.result()  # raises what has ended it: a worker would end too


async def project(dsn: str, stop: asyncio.Event) -> None:
    """Run all projections and policies until ``stop`` is set."""
    async with connections(dsn, stop) as (pool, listener):
        await run_projections(pool, listener, stop)


async def deliver(dsn: str, stop: asyncio.Event, options: WebhookOptions, lookup: Lookup | None = None) -> None:
    """Deliver webhooks until ``stop`` is set."""
    async with connections(dsn, stop) as (pool, listener):
        await run_deliveries(pool, listener, stop, options, lookup)


async def dispatch(dsn: str, connect: Connect, stop: asyncio.Event, **how: Any) -> None:
    """Run a dispatcher until ``stop`` is set."""
    async with connections(dsn, stop) as (pool, listener):
        await run_dispatcher(pool, listener, connect, stop, **how)


@asynccontextmanager
async def first_attempt_sender(dsn: str, options: WebhookOptions) -> AsyncGenerator[FirstAttemptSender]:
    """Yield a sender of first attempts."""
    async with background_pool(dsn) as pool, open_first_attempt_sender(pool, options) as sender:
        yield sender
