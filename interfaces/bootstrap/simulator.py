"""The simulated phone network: its server process, and a client that reads its counters."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec

from infrastructure.gateways.simulated.address import address_of, listen
from infrastructure.gateways.simulated.capacity import Capacity
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.network import Network
from infrastructure.gateways.simulated.server import serving


class NetworkOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a simulated network: the seed of its random decisions, its time factor, and its capacity.

    ``calls`` bounds the calls at the same time, ``calls_per_second`` the new ones; None is unbounded.
    """

    seed: int = 0
    speed: float = 1.0
    calls: int | None = None
    calls_per_second: float | None = None


def open_listener(address: str) -> tuple[socket.socket, str]:
    """Return a listening socket and the address at which this machine reaches it.

    ``address`` is ``host:port``, where port 0 takes any free one, or the path of a Unix socket. Raises OSError,
    OverflowError.
    """
    listener = listen(address)
    return listener, address_of(listener)


def make_network(options: NetworkOptions) -> Network:
    """Return a new network with no calls."""
    capacity = Capacity(options.calls, options.calls_per_second)
    return Network(seed=options.seed, speed=options.speed, capacity=capacity)


@asynccontextmanager
async def serve_network(options: NetworkOptions, listener: socket.socket) -> AsyncGenerator[Network]:
    """Serve a new network on the listener, and close the listener at the end."""
    network = make_network(options)
    async with serving(network, listener):
        yield network


@asynccontextmanager
async def network_counters(address: str, *, timeout_s: float) -> AsyncGenerator[Control]:
    """Connect to a running network to read its counters, waiting up to ``timeout_s``. Raises GatewayUnavailable."""
    async with Control(address, timeout_s=timeout_s) as control:
        yield control
