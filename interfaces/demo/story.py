"""The demo from its beginning to its end, which is Ctrl-C."""

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
from interfaces.demo.day import live_through
from interfaces.demo.exchange import Exchange
from interfaces.demo.figures import Figures, NetworkCalls, attempts, deliveries, outcomes
from interfaces.demo.guide import Sight, guide
from interfaces.demo.progress import showing
from interfaces.demo.receiver import receiving
from interfaces.demo.report import report
from interfaces.demo.simulated_cast import simulated_cast
from interfaces.demo.staff import hire
from interfaces.demo.switch_cast import switch_cast, warning

_PATIENCE_S = 60.0


async def run_demo(url: str, dsn: str, gateway: GatewayKind) -> None:
    """Live through a sample day, call people back, print what came of it and what to try next; then stay.

    Args:
        url: where the API is.
        dsn: the address of its database, for the service's role.
        gateway: through which people are called back.

    Raises:
        DemoFailed: the API refused a part of it.
        GatewayDown: the phone network is away.
        httpx.HTTPError: the API is away.
        StorageUnavailable: the database is.
        SchemaTooOld: the database wants migrating.
    """
    cast = switch_cast() if gateway.rings_phones else simulated_cast()
    async with services(dsn) as found:
        staff = await hire(found.organizations, cast.lines)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        admin = Caller(client, staff.admin)
        day = await live_through(client, staff)
        secret = (await admin.ask("GET", "/v1/webhook-secret")).json()["secret"]
        async with receiving(secret) as receiver:
            exchange = Exchange(admin, receiver, cast)
            await exchange.place()
            if gateway.rings_phones:
                click.echo(f"{warning(cast, gateway)}\n")
            else:
                await exchange.file_tasks(Caller(client), staff, after=day.position)
            figures = await _called_back(admin, exchange, gateway)
            queue_id, callback_id = await exchange.tried_again()
            sight = Sight(
                url=url,
                staff=staff,
                day=day,
                queue_id=queue_id,
                callback_id=callback_id,
                receiver=receiver.url,
                example=cast.example,
            )
            click.echo(f"{report(figures, cast, receiver)}\n\n{guide(sight)}")
            await asyncio.Event().wait()


async def _called_back(admin: Caller, exchange: Exchange, gateway: GatewayKind) -> Figures:
    if gateway.rings_phones:
        seconds = await _carried_out(exchange)
        calls = await attempts(admin, exchange)
    else:
        async with network_counters(gateway.address, patience_s=_PATIENCE_S) as network:
            before = (await network.counts()).placed
            seconds = await _carried_out(exchange)
            after = await network.counts()
            calls = NetworkCalls(count=after.placed - before, repeated=after.dialled_again, most=after.most)
    return Figures(
        outcomes=await outcomes(exchange),
        calls=calls,
        tasks=Counter(task["status"] for task in await exchange.tasks()),
        deliveries=await deliveries(admin),
        seconds=seconds,
    )


async def _carried_out(exchange: Exchange) -> float:
    """Have all people called back; answer how many seconds it took."""
    began = time.monotonic()
    with showing(sys.stderr) as show:
        await exchange.carry_out(show)
    return time.monotonic() - began
