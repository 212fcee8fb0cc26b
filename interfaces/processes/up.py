"""The process ``up``: Postgres, migrations, API, worker and phone network on one machine (docs/architecture.md)."""

import asyncio
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import httpx
import structlog
from msgspec.structs import replace

from application.ports.call_gateway import GatewayKind
from interfaces.bootstrap.database import DatabaseHome
from interfaces.bootstrap.gateways import gateway_of, needs_own_network, require_ready
from interfaces.bootstrap.simulator import open_listener
from interfaces.config.settings import Settings
from interfaces.demo.story import run_demo
from interfaces.processes.metrics_server import FREE_PORT, open_metrics
from interfaces.processes.sockets import url_of
from interfaces.processes.supervisor import Child, supervise
from interfaces.processes.unprivileged import unprivileged_user

_POLL_S = 0.1
_DRAIN_MARGIN_S = 5.0  # seconds that a process may need beyond its own limit

_log = structlog.get_logger("perezvon.up")


def up(settings: Settings, data_dir: Path | None, listener: socket.socket, *, with_demo: bool) -> None:
    """Run all processes until SIGINT or SIGTERM; then drain them, and stop the local Postgres unless other processes use it.

    Args:
        settings: settings; they may name a database instead of the local one, and a switch instead of the simulated network.
        data_dir: the folder of the local Postgres.
        listener: the listening socket of the API.
        with_demo: also run the demo (interfaces/demo), in a temporary folder unless ``data_dir`` is given.

    Raises:
        LocalPostgresError: Postgres cannot run on this machine.
        StorageUnavailable: the database of the settings cannot be reached.
        ServiceLoginMissing: the service has no login of its own there, and the owner may not create it.
        BadSetting: a setting of the switch is missing or invalid.
        SwitchNotReady: the demo cannot dial over the switch.
    """
    gateway = gateway_of(settings)
    if with_demo and gateway.rings_phones:
        require_ready(gateway)
    database = DatabaseHome(settings, data_dir, temporary=with_demo)
    database.prepare()
    url = url_of(listener)
    network = None
    api_metrics, worker_metrics = (open_metrics(None, FREE_PORT) for _ in range(2))  # open when a child is restarted
    if needs_own_network(settings):
        network, address = open_listener("127.0.0.1:0")
        gateway = gateway_of(replace(settings, simulator_address=address))
    _warn_of_phones(gateway)
    user = unprivileged_user(database.server_user)
    children = (
        _child(
            "api",
            *database.arguments("serve"),
            sockets={"--socket": listener, "--metrics-socket": api_metrics},
            environment=database.environment(),
        ),
        *_network_children(network),
        _child(
            "worker",
            *database.arguments("work"),
            sockets={"--metrics-socket": worker_metrics},
            environment={**database.environment(), **gateway.environment()},
        ),
    )
    children = [replace(child, user=user) for child in children]

    async def announce_and_demo() -> None:
        try:
            await _ready(url)
            click.echo(f"ready {url}")
            if with_demo:
                await run_demo(url, database.service_dsn, gateway)
            await asyncio.Event().wait()
        finally:
            for one in (listener, api_metrics, worker_metrics):
                one.close()  # clients get a refusal instead of waiting in the backlog of a stopped server
            if network:
                network.close()

    try:
        asyncio.run(
            supervise(
                children,
                (announce_and_demo, database.keep_server),
                patience=settings.shutdown_seconds + _DRAIN_MARGIN_S,
            )
        )
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt the stop of Postgres


def _warn_of_phones(gateway: GatewayKind) -> None:
    if gateway.rings_phones:
        _log.warning("dialling over a real switch: phones ring", through=gateway.description)
    else:
        _log.warning("no phone rings", through=gateway.description)


def _network_children(listener: socket.socket | None) -> list[Child]:
    if listener is None:
        return []
    network = _child(
        "simulator",
        "simulator",
        sockets={"--socket": listener},
        environment={"PEREZVON_DATABASE_URL": "", "PEREZVON_OWNER_URL": ""},  # it uses no database
    )
    return [
        replace(network, serves_others=True)
    ]  # while the worker drains it still places the calls that it has started


def _child(
    name: str, *arguments: str, sockets: Mapping[str, socket.socket], environment: Mapping[str, str] | None = None
) -> Child:
    """Return a child process that gets the descriptors of the sockets as values of these options."""
    passed = {option: listener.fileno() for option, listener in sockets.items()}
    options = [word for option, descriptor in passed.items() for word in (option, str(descriptor))]
    command = (sys.executable, "-P", "-m", "interfaces.cli", *arguments, *options, "--attached")
    return Child(name=name, command=command, descriptors=tuple(passed.values()), environment=environment or {})


async def _ready(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                if (await client.get(f"{url}/health/ready")).is_success:
                    return
            except httpx.HTTPError:
                _log.debug("API not ready yet")
            await asyncio.sleep(_POLL_S)
