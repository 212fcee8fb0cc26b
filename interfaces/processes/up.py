"""Everything on one machine: Postgres, migrations, API, worker and phone network (design.md, Processes)."""

import asyncio
import atexit
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click
import httpx
import structlog
from msgspec.structs import replace

from interfaces.bootstrap.services import AsteriskOptions, address_of, default_home, migrate, start_server, until_lost
from interfaces.config.database import checked
from interfaces.config.gateway import require_ready, switch_of
from interfaces.config.settings import Settings
from interfaces.demo.story import run_demo
from interfaces.processes.sockets import listen, url_of
from interfaces.processes.supervisor import Child, supervise

_ASK_AGAIN = 0.1
_DRAINING = 5.0  # seconds that a process may need beyond its own limit

_log = structlog.get_logger("perezvon.up")


class Place:
    """Where the data is: a Postgres that the settings name, or one of our own in a folder."""

    def __init__(self, settings: Settings, data_dir: Path | None, *, throw_away: bool) -> None:
        """``data_dir`` is the folder; without one it is a fresh one, removed at the end, or the user's own."""
        self.home = None if settings.database_url else data_dir or (_passing_folder() if throw_away else default_home())
        self.dsn = settings.database_url or ""

    def prepare(self) -> None:
        """Start or join our own Postgres, and bring the schema up to date."""
        if self.home:
            self.dsn = start_server(self.home)
        for name in migrate(checked(self.dsn)):
            _log.info("migrated", migration=name)

    async def keep_server(self) -> None:
        """Start our own Postgres again whenever it is lost. Raises LocalPostgresError when that fails."""
        while self.home:
            await until_lost(self.dsn)
            _log.warning("lost Postgres, starting it again")
            await asyncio.to_thread(start_server, self.home)
            await asyncio.sleep(_ASK_AGAIN)

    def arguments(self, *words: str) -> tuple[str, ...]:
        """Answer the words with which ``perezvon`` works on the same database."""
        return (*words, "--data-dir", str(self.home)) if self.home else words


def up(settings: Settings, data_dir: Path | None, listener: socket.socket, *, with_demo: bool) -> None:
    """Run everything until SIGINT or SIGTERM; then drain, and stop our own Postgres if nobody else uses it.

    Args:
        settings: name the database, if it is not to be our own, and the switch, if it is not to be simulated.
        data_dir: the folder of our own Postgres.
        listener: where to serve.
        with_demo: run the demo too (interfaces/demo), in a throw-away folder unless one is named.

    Raises:
        LocalPostgresError: Postgres cannot run here.
        StorageUnavailable: the database of the settings is away.
        BadSetting: the switch cannot be reached as it is set.
        SwitchNotReady: the demo cannot dial it.
    """
    switch = switch_of(settings)
    if with_demo and isinstance(switch, AsteriskOptions):
        require_ready(switch)
    place = Place(settings, data_dir, throw_away=with_demo)
    place.prepare()
    url = url_of(listener)
    descriptor = listener.fileno()
    network = _socket_of_own_network(settings, switch)
    switch = address_of(network) if network else switch
    children = (
        _child("api", *place.arguments("serve", "--socket", str(descriptor)), descriptors=(descriptor,)),
        *_network_children(network),
        _child("worker", *place.arguments("work"), environment=_environment_of_worker(switch)),
    )

    async def story() -> None:
        try:
            await _ready(url)
            click.echo(f"ready {url}")
            if with_demo:
                await run_demo(url, place.dsn, switch)
            await asyncio.Event().wait()
        finally:
            listener.close()  # at the end nobody shall wait in a queue that nobody serves
            if network:
                network.close()

    try:
        asyncio.run(supervise(children, (story, place.keep_server), patience=settings.shutdown_seconds + _DRAINING))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # Postgres is to be stopped in peace


def _socket_of_own_network(settings: Settings, switch: AsteriskOptions | str) -> socket.socket | None:
    """Answer where the simulated network that belongs to this ``up`` shall listen; None where another switch is named."""
    if isinstance(switch, AsteriskOptions):
        _log.warning("calls go to a real switch: phones ring", address=switch.address, trunk=switch.trunk)
        return None
    _log.warning("calls go to a simulated phone network: no phone rings")
    return None if settings.simulator_address else listen("127.0.0.1", 0)


def _network_children(listener: socket.socket | None) -> list[Child]:
    if listener is None:
        return []
    descriptor = listener.fileno()
    network = _child("simulator", "simulator", "--socket", str(descriptor), descriptors=(descriptor,))
    return [replace(network, serves_others=True)]  # the worker drains: it dials what it has started


def _environment_of_worker(switch: AsteriskOptions | str) -> Mapping[str, str]:
    if isinstance(switch, AsteriskOptions):
        return {"PEREZVON_GATEWAY": "asterisk", "PEREZVON_ASTERISK_ADDRESS": switch.address}
    return {"PEREZVON_GATEWAY": "simulated", "PEREZVON_SIMULATOR_ADDRESS": switch}


def _child(
    name: str, *arguments: str, descriptors: tuple[int, ...] = (), environment: Mapping[str, str] | None = None
) -> Child:
    command = (sys.executable, "-P", "-m", "interfaces.cli", *arguments, "--attached")
    return Child(name=name, command=command, descriptors=descriptors, environment=environment or {})


async def _ready(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                if (await client.get(f"{url}/health/ready")).is_success:
                    return
            except httpx.HTTPError:
                _log.debug("not ready yet")
            await asyncio.sleep(_ASK_AGAIN)


def _passing_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="perezvon-demo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # runs after what is registered later: Postgres's end
    return folder
