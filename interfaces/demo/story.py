"""The demo from its beginning to its end, which is Ctrl-C."""

import asyncio
import sys
import time
from collections import Counter

import click
import httpx

from interfaces.bootstrap import Control, service_dsn, services
from interfaces.demo.caller import Caller
from interfaces.demo.day import live_through
from interfaces.demo.exchange import Exchange
from interfaces.demo.guide import Sight, guide
from interfaces.demo.progress import showing
from interfaces.demo.receiver import receiving
from interfaces.demo.report import Figures, deliveries, outcomes, report
from interfaces.demo.staff import hire

_PATIENCE_S = 60.0


async def run_demo(url: str, dsn: str, switch: str) -> None:
    """Live through a sample day, call 300 people back, print what came of it and what to try next; then stay.

    Args:
        url: where the API is.
        dsn: the same database's, for its owner.
        switch: the address of the simulated phone network.

    Raises:
        DemoFailed: the API refused a part of it.
        GatewayDown: the phone network is away.
        httpx.HTTPError: the API is away.
        StorageAway: the database is.
        SchemaTooOld: the database wants migrating.
    """
    async with services(service_dsn(dsn)) as found:
        staff = await hire(found.organizations)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        admin = Caller(client, staff.admin)
        day = await live_through(client, staff)
        secret = (await admin.ask("GET", "/v1/webhook-secret")).json()["secret"]
        async with receiving(secret) as receiver:
            exchange = Exchange(admin, receiver)
            await exchange.place()
            await exchange.file_tasks(Caller(client), staff, after=day.position)
            figures = await _called_back(admin, exchange, switch)
            queue_id, callback_id = await exchange.tried_again()
            sight = Sight(
                url=url, staff=staff, day=day, queue_id=queue_id, callback_id=callback_id, receiver=receiver.url
            )
            click.echo(f"{report(figures, receiver)}\n\n{guide(sight)}")
            await asyncio.Event().wait()


async def _called_back(admin: Caller, exchange: Exchange, switch: str) -> Figures:
    async with Control(switch, patience_s=_PATIENCE_S) as network:
        before, began = await network.counts(), time.monotonic()
        with showing(sys.stderr) as show:
            await exchange.carry_out(show)
        seconds, after = time.monotonic() - began, await network.counts()
    return Figures(
        outcomes=await outcomes(admin, exchange),
        tasks=Counter(task["status"] for task in await exchange.tasks()),
        deliveries=await deliveries(admin),
        before=before,
        after=after,
        seconds=seconds,
    )
