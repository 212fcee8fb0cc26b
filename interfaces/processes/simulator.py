"""The process ``simulator``: a phone network in which no phone rings."""

import asyncio
import signal
import socket
from collections.abc import Callable

import structlog

from interfaces.bootstrap.services import Network, address_of, serving
from interfaces.bootstrap.services import listen as listen_at
from interfaces.processes.event_loop import loop_factory
from interfaces.processes.sockets import CannotListen

_log = structlog.get_logger("perezvon.simulator")


def listen(address: str) -> socket.socket:
    """Answer a socket that listens there. Raises CannotListen."""
    try:
        return listen_at(address)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise CannotListen(f"Cannot listen on {address}: {why}. Choose another with --address.") from error


def simulate(network: Network, listener: socket.socket, announce: Callable[[str], None]) -> None:
    """Lend the network to whoever connects to the listening socket, until SIGTERM or SIGINT; all links are cut then.

    ``announce`` is told the address once the network can be reached there.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_simulating(network, listener, announce))


async def _simulating(network: Network, listener: socket.socket, announce: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    address = address_of(listener)
    async with serving(network, listener):
        _log.info("simulating", address=address, started=network.started)
        announce(address)
        await stop.wait()
    counts = network.counts()
    _log.info("ended", placed=counts.placed, most=counts.most, outcomes=counts.outcomes)
