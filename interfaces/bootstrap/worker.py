"""The parts of the worker process: projections and policies, webhook deliveries, and the dispatcher."""

from asyncio import Event
from collections.abc import Awaitable

import msgspec
import structlog

from application.ports.call_gateway import GatewayKind
from application.webhook_options import WebhookOptions
from domain.organization.limits import Limits
from infrastructure.dispatch.dispatcher import run_dispatcher
from infrastructure.dispatch.pacing import Pace
from infrastructure.operations.projection_worker import run_projections
from infrastructure.webhooks.delivery_worker import open_first_attempt_sender, run_deliveries
from interfaces.bootstrap.gateways import gateway_of, pace_of
from interfaces.config.limits import limits_of
from interfaces.config.settings import Settings
from interfaces.config.webhooks import webhook_options

_log = structlog.get_logger("perezvon.work")


def worker_parts(dsn: str, settings: Settings, stop: Event) -> dict[str, Awaitable[None]]:
    """Return the parts by name; each runs until ``stop`` is set. ``dsn`` is for the service's role.

    Without a gateway in the settings there is no dispatcher: this worker dials nothing. Raises BadSetting.
    """
    options = webhook_options(settings)
    if options.secrets_key is None:
        _log.error("no webhook can be signed: none is sent until the key is set", setting="PEREZVON_SECRETS_KEY")
    gateway = gateway_of(settings) if settings.gateway else None
    parts: dict[str, Awaitable[None]] = {
        "projections": run_projections(dsn, stop),
        "webhooks": run_deliveries(dsn, stop, options),
    }
    if gateway is None:
        _log.warning("no gateway configured: this worker dials nothing", setting="PEREZVON_GATEWAY")
        return parts
    pace = pace_of(settings, gateway)
    if gateway.rings_phones:
        _log.info("dialling over a gateway", through=gateway.description, **msgspec.structs.asdict(pace))
    else:
        _log.warning("no phone rings", through=gateway.description)
    parts["dispatcher"] = run_dispatching(dsn, stop, options, gateway=gateway, pace=pace, limits=limits_of(settings))
    return parts


async def run_dispatching(
    dsn: str, stop: Event, options: WebhookOptions, *, gateway: GatewayKind, pace: Pace, limits: Limits
) -> None:
    """Dial due callbacks over a gateway until ``stop`` is set. ``dsn`` is for the service's role."""
    async with open_first_attempt_sender(dsn, options) as first:
        await run_dispatcher(
            dsn, gateway.connect, stop, gateway=gateway.name, announce=first.send, pace=pace, limits=limits
        )
