"""The parts of the worker process: projections and policies, webhook deliveries, and the dispatcher."""

from asyncio import Event
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import structlog

from application.ports.call_gateway import GatewayKind
from application.webhook_options import WebhookOptions
from domain.organization.limits import Limits
from infrastructure.dispatch.dispatcher import run_dispatcher
from infrastructure.dispatch.pacing import Pace
from infrastructure.operations.projection_worker import run_projections
from infrastructure.postgres.connections import BACKGROUND_CONNECTIONS, DIALLING_CONNECTIONS, Pool
from infrastructure.postgres.notifications import Listener
from infrastructure.postgres.sessions import BATCH
from infrastructure.webhooks.delivery_worker import open_first_attempt_sender, run_deliveries
from interfaces.bootstrap.gateways import gateway_of, pace_of
from interfaces.config.limits import limits_of
from interfaces.config.settings import Settings
from interfaces.config.webhooks import webhook_options

_log = structlog.get_logger("perezvon.work")


@asynccontextmanager
async def worker_parts(dsn: str, settings: Settings, stop: Event) -> AsyncGenerator[dict[str, Awaitable[None]]]:
    """Open the connections of a worker, yield its parts by name, and close the connections at the end.

    Each part runs until ``stop`` is set. ``dsn`` is for the service's role. Projections, policies and webhook deliveries
    share a pool; the dispatcher and the first attempts of webhooks, which calls wait for, have one of their own. Without a
    gateway in the settings there is no dispatcher: this worker dials nothing. Raises BadSetting.
    """
    options = webhook_options(settings)
    if options.secrets_key is None:
        _log.error("no webhook can be signed: none is sent until the key is set", setting="PEREZVON_SECRETS_KEY")
    gateway = gateway_of(settings) if settings.gateway else None
    pool = partial(Pool, dsn, purpose=BATCH, allow_owner=settings.allow_owner)
    background = pool(size=BACKGROUND_CONNECTIONS, name="background")
    dialling = pool(size=DIALLING_CONNECTIONS, name="dispatcher")
    listener = Listener(dsn, allow_owner=settings.allow_owner)
    parts: dict[str, Awaitable[None]] = {
        "listener": listener.run_until(stop),
        "projections": run_projections(background, listener, stop),
        "webhooks": run_deliveries(background, listener, stop, options),
    }
    if gateway is None:
        _log.warning("no gateway configured: this worker dials nothing", setting="PEREZVON_GATEWAY")
    else:
        pace, limits = pace_of(settings, gateway), limits_of(settings)
        if gateway.rings_phones:
            _log.info("dialling over a gateway", through=gateway.description, **msgspec.structs.asdict(pace))
        else:
            _log.warning("no phone rings", through=gateway.description)
        parts["dispatcher"] = run_dispatching(
            dialling, listener, stop, options, gateway=gateway, pace=pace, limits=limits
        )
    try:
        yield parts
    finally:
        await background.close()
        await dialling.close()


async def run_dispatching(
    pool: Pool,
    listener: Listener,
    stop: Event,
    options: WebhookOptions,
    *,
    gateway: GatewayKind,
    pace: Pace,
    limits: Limits,
) -> None:
    """Dial due callbacks over a gateway until ``stop`` is set."""
    async with open_first_attempt_sender(pool, options) as first:
        await run_dispatcher(
            pool, listener, gateway.connect, stop, gateway=gateway.name, announce=first.send, pace=pace, limits=limits
        )
