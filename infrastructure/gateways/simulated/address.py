"""Addresses of the simulated network: ``host:port``, ``[::1]:port``, or the path of a Unix socket."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

P = TypeVar("P", bound=asyncio.Protocol)

_BACKLOG = 128


def listen(address: str) -> socket.socket:
    """Return a listening socket. Port 0 selects a free port; a Unix socket replaces a stale one.

    Raises OSError.
    """
    if "/" not in address:
        host, port = _split(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    path = Path(address)
    if path.is_socket() and not _is_served(address):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.listen(_BACKLOG)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address at which a client on this machine reaches the socket."""
    if listener.family is socket.AF_UNIX:
        return str(listener.getsockname())
    bound: tuple[str, int] = listener.getsockname()[:2]
    host, port = bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def connect(address: str, factory: Callable[[], P]) -> P:
    """Connect, and return the protocol of the connection. Raises OSError."""
    loop = asyncio.get_running_loop()
    if "/" in address:
        _, protocol = await loop.create_unix_connection(factory, address)
    else:
        host, port = _split(address)
        _, protocol = await loop.create_connection(factory, host, port)
    return protocol


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0
