"""The process ``simulator``: a phone network in which no phone rings."""

import asyncio
import signal
import socket
from collections.abc import Callable

import structlog

from interfaces.bootstrap.simulator import NetworkOptions, open_listener, serve_network
from interfaces.processes.event_loop import loop_factory
from interfaces.processes.sockets import CannotListen

_log = structlog.get_logger("perezvon.simulator")


def listen(address: str) -> tuple[socket.socket, str]:
    """Return a listening socket and the address at which this machine reaches it. Raises CannotListen."""
    try:
        return open_listener(address)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise CannotListen(f"Cannot listen on {address}: {why}. Choose another with --address.") from error


def simulate(options: NetworkOptions, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve a simulated network on the socket until SIGTERM or SIGINT; all links are closed then.

    ``on_ready`` is called once the network accepts connections.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(options, listener, on_ready))


async def _serve(options: NetworkOptions, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve_network(options, listener) as network:
        _log.info("simulator ready", started=network.started)
        on_ready()
        await stop.wait()
    counts = network.counts()
    _log.info("simulator stopped", placed=counts.placed, most=counts.most, outcomes=counts.outcomes)
