"""Protection against SSRF: a destination that is not allowed is refused when its socket is opened (docs/webhooks.md)."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from application.errors import ShareExhausted
from application.fair_share import FairShare
from application.webhook_targets import TargetPolicy, is_allowed
from infrastructure.webhooks.name_lookup import Lookup
from infrastructure.webhooks.outgoing_request import CURRENT

DNS_SECONDS = 3.0
PLACE_SECONDS = 3.0
"""Seconds for which a request waits for a place among the look-ups; its time limit does not run meanwhile."""

ADDRESSES_MAX = 3


class AddressBlocked(OSError):
    """The destination is not allowed. The message is the same for all destinations."""

    def __init__(self) -> None:
        super().__init__("destination not allowed")


class LookupNotStarted(OSError):
    """A look-up got no place in time, which shows nothing about the host."""


class SsrfGuard:
    """Opens sockets to allowed addresses only."""

    def __init__(self, policy: TargetPolicy) -> None:
        """Allow what ``policy`` allows."""
        self._policy = policy

    def check(self, sockaddr: Sequence[Any]) -> None:
        """Check a socket address: host, port, and for IPv6 flow and scope. Raises AddressBlocked."""
        host, port, *more = sockaddr
        try:
            address = ip_address(host)
        except ValueError as error:
            raise AddressBlocked from error
        scope = more[1] if len(more) > 1 else 0
        if scope or not is_allowed(address, port, self._policy):
            raise AddressBlocked

    def open_socket(self, found: tuple[Any, ...]) -> socket.socket:
        """Open a socket for the result of a resolver, or for the address in the URL. Raises AddressBlocked."""
        CURRENT.get().has_connected = True
        family, kind, protocol, _, sockaddr = found
        if family not in {socket.AF_INET, socket.AF_INET6}:
            raise AddressBlocked
        self.check(sockaddr)
        return socket.socket(family, kind, protocol)


class SharedResolver(AbstractResolver):
    """Resolves names within seconds, in places that the organisations share."""

    def __init__(self, guard: SsrfGuard, lookup: Lookup, places: FairShare) -> None:
        """Refuse a name if ``guard`` refuses any of its addresses."""
        self._guard = guard
        self._lookup = lookup
        self._places = places

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return at most three addresses.

        Raises AddressBlocked, LookupNotStarted, and OSError when there are no addresses within three seconds of the start
        of the look-up.
        """
        addresses = await self._look_up(host)
        for address in addresses:
            self._guard.check((address, port))
        found = [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]
        return [one for one in found if family in {socket.AF_UNSPEC, one["family"]}][:ADDRESSES_MAX]

    async def _look_up(self, host: str) -> Sequence[str]:
        request = CURRENT.get()
        try:
            with request.paused_deadline():
                await self._places.acquire(request.organization_id, timeout_s=PLACE_SECONDS)
        except ShareExhausted as error:
            raise LookupNotStarted from error
        try:
            async with asyncio.timeout(DNS_SECONDS):
                return await self._lookup(host)
        except TimeoutError as error:
            raise OSError(f"The resolver did not respond within {DNS_SECONDS:g} seconds") from error
        finally:
            self._places.release(request.organization_id)

    async def close(self) -> None:
        """Do nothing: the look-ups end with their requests."""
