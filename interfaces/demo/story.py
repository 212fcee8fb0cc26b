"""The demo from start to end, which is Ctrl-C."""

import asyncio
import sys
import time
from collections import Counter

import click
import httpx

from application.ports.call_gateway import GatewayKind
from interfaces.bootstrap.services import services
from interfaces.bootstrap.simulator import network_counters
from interfaces.demo.caller import Caller
from interfaces.demo.day import file_day
from interfaces.demo.exchange import Exchange
from interfaces.demo.figures import Figures, NetworkCalls, attempts, deliveries, outcomes
from interfaces.demo.guide import GuideValues, guide
from interfaces.demo.progress import showing
from interfaces.demo.receiver import receiving
from interfaces.demo.report import report
from interfaces.demo.simulated_cast import simulated_cast
from interfaces.demo.staff import hire
from interfaces.demo.switch_cast import switch_cast, warning

_PATIENCE_S = 60.0


async def run_demo(url: str, dsn: str, gateway: GatewayKind) -> None:
    """File a sample day, call people back, print the report and commands to try; then wait.

    Args:
        url: the base URL of the API.
        dsn: the address of its database, for the service's role.
        gateway: the gateway over which people are called.

    Raises:
        DemoFailed: the API refused a request.
        GatewayUnavailable: the phone network cannot be reached.
        httpx.HTTPError: the API cannot be reached.
        StorageUnavailable: the database cannot be reached.
        SchemaTooOld: the database must be migrated.
    """
    cast = switch_cast() if gateway.rings_phones else simulated_cast()
    async with services(dsn) as found:
        staff = await hire(found.organizations, cast.lines)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        admin = Caller(client, staff.admin)
        day = await file_day(client, staff)
        secret = (await admin.ask("GET", "/v1/webhook-secret")).json()["secret"]
        async with receiving(secret) as receiver:
            exchange = Exchange(admin, receiver, cast)
            await exchange.place()
            if gateway.rings_phones:
                click.echo(f"{warning(cast, gateway)}\n")
            else:
                await exchange.file_tasks(Caller(client), staff, after=day.position)
            figures = await _call_back(admin, exchange, gateway)
            queue_id, callback_id = await exchange.tried_again()
            values = GuideValues(
                url=url,
                staff=staff,
                day=day,
                queue_id=queue_id,
                callback_id=callback_id,
                receiver=receiver.url,
                example=cast.example,
            )
            click.echo(f"{report(figures, cast, receiver)}\n\n{guide(values)}")
            await asyncio.Event().wait()


async def _call_back(admin: Caller, exchange: Exchange, gateway: GatewayKind) -> Figures:
    if gateway.rings_phones:
        seconds = await _carry_out(exchange)
        calls = await attempts(admin, exchange)
    else:
        async with network_counters(gateway.address, timeout_s=_PATIENCE_S) as network:
            before = (await network.counts()).placed
            seconds = await _carry_out(exchange)
            after = await network.counts()
            calls = NetworkCalls(count=after.placed - before, repeated=after.dialled_again, most=after.most)
    return Figures(
        outcomes=await outcomes(exchange),
        calls=calls,
        tasks=Counter(task["status"] for task in await exchange.tasks()),
        deliveries=await deliveries(admin),
        seconds=seconds,
    )


async def _carry_out(exchange: Exchange) -> float:
    """Call all people back; return the duration in seconds."""
    began = time.monotonic()
    with showing(sys.stderr) as show:
        await exchange.carry_out(show)
    return time.monotonic() - began
