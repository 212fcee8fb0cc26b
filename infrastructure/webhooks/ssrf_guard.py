"""Where webhooks may not go is refused where the socket is opened (webhooks.md, SSRF rules)."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from application.webhook_targets import Network, is_allowed

DNS_SECONDS = 3.0
ADDRESSES_MAX = 3
_THREADS = 16

Lookup = Callable[[str, int, int], Sequence[tuple[Any, ...]]]
"""Answers what ``socket.getaddrinfo`` answers for host, port and family."""


class AddressBlocked(OSError):
    """The address is none that webhooks may go to. Says the same of every one."""

    def __init__(self) -> None:
        super().__init__("destination not allowed")


def system_lookup(host: str, port: int, family: int) -> Sequence[tuple[Any, ...]]:
    """Ask the system's resolver."""
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


class SsrfGuard:
    """Opens sockets to allowed addresses only."""

    def __init__(self, opened: Sequence[Network]) -> None:
        """Allow the ``opened`` networks, too."""
        self._opened = opened

    def check(self, sockaddr: Sequence[Any]) -> None:
        """Check a socket address: host, port, and for IPv6 flow and scope. Raises Blocked."""
        host, port, *more = sockaddr
        try:
            address = ip_address(host)
        except ValueError as error:
            raise AddressBlocked from error
        scope = more[1] if len(more) > 1 else 0
        if scope or not is_allowed(address, port, self._opened):
            raise AddressBlocked

    def open_socket(self, found: tuple[Any, ...]) -> socket.socket:
        """Open a socket for what a resolver found, or for the address that stands in the URL. Raises Blocked."""
        family, kind, protocol, _, sockaddr = found
        if family not in {socket.AF_INET, socket.AF_INET6}:
            raise AddressBlocked
        self.check(sockaddr)
        return socket.socket(family, kind, protocol)


class BoundedResolver(AbstractResolver):
    """Resolves names within seconds and in threads of its own: a lookup cannot be cancelled."""

    def __init__(self, guard: SsrfGuard, lookup: Lookup = system_lookup) -> None:
        """Refuse a name of which any address is refused by ``guard``."""
        self._guard = guard
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Answer at most three addresses. Raises Blocked, and OSError when there are none in time."""
        looking = asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, host, port, family)
        try:
            async with asyncio.timeout(DNS_SECONDS):
                found = await looking
        except TimeoutError as error:
            raise OSError("no answer from the resolver in time") from error
        for *_, sockaddr in found:
            self._guard.check(sockaddr)
        return [
            ResolveResult(
                hostname=host,
                host=sockaddr[0],
                port=port,
                family=number,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for number, _, protocol, _, sockaddr in found[:ADDRESSES_MAX]
        ]

    async def close(self) -> None:
        """Let the threads go; lookups under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
