"""Look-ups of host names, without threads: c-ares reads ``/etc/hosts`` and asks the name servers of ``/etc/resolv.conf``."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiodns import DNSResolver
from aiodns.error import DNSError

_TRY_SECONDS = 1.5
_TRIES = 2
_PER_CHANNEL = 10_000

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the addresses of a name in the order in which to try them. Raises OSError when there are none."""


class CaresLookup:
    """Looks names up with c-ares.

    A look-up that is cancelled costs its caller nothing more; c-ares drops it after its last try, a few seconds later.
    """

    def __init__(self) -> None:
        """Open a channel of the running event loop."""
        self._channel = self._open()
        self._asked = 0

    async def __call__(self, host: str) -> Sequence[str]:
        """Return the addresses of ``host``, sorted by RFC 6724. Raises OSError when there are none."""
        if self._asked >= _PER_CHANNEL:
            # A channel caches answers for as long as they are valid, without a limit of their number. The old one closes
            # itself when its last look-up has ended.
            self._channel, self._asked = self._open(), 0
        self._asked += 1
        try:
            found = await self._channel.getaddrinfo(host, type=socket.SOCK_STREAM)
        except DNSError as error:
            raise OSError(str(error.args[-1])) from error
        sockaddrs: list[tuple[Any, ...]] = [node.addr for node in found.nodes]  # pyright: ignore[reportUnknownMemberType] - a bare tuple
        return [address.decode() for address, *_ in sockaddrs]

    async def close(self) -> None:
        """Cancel the look-ups in progress."""
        await self._channel.close()

    @staticmethod
    def _open() -> DNSResolver:
        return DNSResolver(timeout=_TRY_SECONDS, tries=_TRIES)
