"""The demo from its beginning to its end, which is Ctrl-C."""

import asyncio
import sys
import time
from collections import Counter

import click
import httpx

from interfaces.bootstrap.services import AsteriskOptions, Control, service_dsn, services
from interfaces.demo.caller import Caller
from interfaces.demo.day import live_through
from interfaces.demo.exchange import Exchange
from interfaces.demo.figures import Figures, attempts, deliveries, outcomes
from interfaces.demo.guide import Sight, guide
from interfaces.demo.progress import showing
from interfaces.demo.receiver import receiving
from interfaces.demo.report import report
from interfaces.demo.simulated_cast import simulated_cast
from interfaces.demo.staff import hire
from interfaces.demo.switch_cast import switch_cast, warning

_PATIENCE_S = 60.0


async def run_demo(url: str, dsn: str, switch: AsteriskOptions | str) -> None:
    """Live through a sample day, call people back, print what came of it and what to try next; then stay.

    Args:
        url: where the API is.
        dsn: the same database's, for its owner.
        switch: a real switch, or the address of the simulated phone network.

    Raises:
        DemoFailed: the API refused a part of it.
        GatewayDown: the phone network is away.
        httpx.HTTPError: the API is away.
        StorageUnavailable: the database is.
        SchemaTooOld: the database wants migrating.
    """
    cast = simulated_cast() if isinstance(switch, str) else switch_cast()
    async with services(service_dsn(dsn)) as found:
        staff = await hire(found.organizations, cast.lines)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        admin = Caller(client, staff.admin)
        day = await live_through(client, staff)
        secret = (await admin.ask("GET", "/v1/webhook-secret")).json()["secret"]
        async with receiving(secret) as receiver:
            exchange = Exchange(admin, receiver, cast)
            await exchange.place()
            if isinstance(switch, str):
                await exchange.file_tasks(Caller(client), staff, after=day.position)
            else:
                click.echo(f"{warning(cast, switch)}\n")
            figures = await _called_back(admin, exchange, switch)
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


async def _called_back(admin: Caller, exchange: Exchange, switch: AsteriskOptions | str) -> Figures:
    if isinstance(switch, str):
        async with Control(switch, patience_s=_PATIENCE_S) as network:
            before = await network.counts()
            seconds = await _carried_out(exchange)
            calls = (before, await network.counts())
    else:
        seconds = await _carried_out(exchange)
        calls = await attempts(admin, exchange)
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
