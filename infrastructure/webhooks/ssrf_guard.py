"""Protection against SSRF: a destination that is not allowed is refused when its socket is opened (docs/webhooks.md)."""

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
"""Returns what ``socket.getaddrinfo`` returns for host, port and family."""


class AddressBlocked(OSError):
    """The destination is not allowed. The message is the same for all destinations."""

    def __init__(self) -> None:
        super().__init__("destination not allowed")


def system_lookup(host: str, port: int, family: int) -> Sequence[tuple[Any, ...]]:
    """Resolve a name with the system's resolver."""
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


class SsrfGuard:
    """Opens sockets to allowed addresses only."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        """Allow public addresses, and the networks ``allowed``."""
        self._allowed = allowed

    def check(self, sockaddr: Sequence[Any]) -> None:
        """Check a socket address: host, port, and for IPv6 flow and scope. Raises AddressBlocked."""
        host, port, *more = sockaddr
        try:
            address = ip_address(host)
        except ValueError as error:
            raise AddressBlocked from error
        scope = more[1] if len(more) > 1 else 0
        if scope or not is_allowed(address, port, self._allowed):
            raise AddressBlocked

    def open_socket(self, found: tuple[Any, ...]) -> socket.socket:
        """Open a socket for the result of a resolver, or for the address in the URL. Raises AddressBlocked."""
        family, kind, protocol, _, sockaddr = found
        if family not in {socket.AF_INET, socket.AF_INET6}:
            raise AddressBlocked
        self.check(sockaddr)
        return socket.socket(family, kind, protocol)


class BoundedResolver(AbstractResolver):
    """Resolves names within seconds and in threads of its own: a lookup cannot be cancelled."""

    def __init__(self, guard: SsrfGuard, lookup: Lookup = system_lookup) -> None:
        """Refuse a name if ``guard`` refuses any of its addresses."""
        self._guard = guard
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return at most three addresses. Raises AddressBlocked, and OSError when there are none in time."""
        looking = asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, host, port, family)
        try:
            async with asyncio.timeout(DNS_SECONDS):
                found = await looking
        except TimeoutError as error:
            raise OSError(f"The resolver did not respond within {DNS_SECONDS:g} seconds") from error
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
        """Shut the threads down; lookups in progress end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
