"""A link to a switch that reconnects whenever it is lost, and publishes the events of the switch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic, Protocol, TypeVar

import structlog

from application.ports.call_gateway import GatewayEvent, GatewayUnavailable, LinkDown, LinkUp
from infrastructure.gateways.event_buffer import EventBuffer

_BACKOFF_MIN_S = 0.1
_BACKOFF_MAX_S = 5.0

_logger = structlog.get_logger(__name__)


class Link(Protocol):
    """A connection to a switch."""

    async def until_lost(self) -> None:
        """Return when the connection is lost."""
        ...

    def cut(self) -> None:
        """Close the connection at once."""
        ...


L = TypeVar("L", bound=Link)


class ReconnectingLink(Generic[L]):
    """Connects, and reconnects with exponential backoff whenever the link is lost, from ``open`` to ``close``."""

    def __init__(self, switch: str, connect: Callable[[], AbstractAsyncContextManager[tuple[L, str]]]) -> None:
        """Connect with ``connect``, which yields a link and the switch's start stamp, or raises GatewayUnavailable.

        ``switch`` is its name in logs.
        """
        self._switch = switch
        self._connect = connect
        self._started = ""
        self._buffers: set[EventBuffer] = set()
        self._connecting: asyncio.Task[None] | None = None
        self.current: L | None = None
        """The link, while there is one."""

    def open(self) -> None:
        """Start connecting."""
        self._connecting = asyncio.create_task(self._keep_connected(), name=f"link to {self._switch}")
        self._connecting.add_done_callback(self._wake_all)

    async def close(self) -> None:
        """Close the link. Raises the error that ended it before, unless that was GatewayUnavailable."""
        assert self._connecting  # noqa: S101 - open() was called before
        self._connecting.cancel()
        await asyncio.wait([self._connecting])
        if not self._connecting.cancelled():
            self._connecting.result()

    def require(self) -> L:
        """Return the link. Raises GatewayUnavailable when there is none."""
        if self.current is None:
            raise GatewayUnavailable(f"no link to {self._switch}")
        return self.current

    def publish(self, events: Sequence[GatewayEvent]) -> None:
        """Publish events of the switch. What arrives before LinkUp is dropped: consumers query the switch after LinkUp."""
        if self.current is not None and events:
            self._put_all(events)

    async def events(self) -> AsyncIterator[Sequence[GatewayEvent]]:
        """See the port. The first event is LinkUp where the link is up already; the iterator ends with the gateway.

        A slow consumer is disconnected and receives LinkDown, then LinkUp: it knows that it missed events.
        """
        buffer = EventBuffer()
        if self.current:
            buffer.put([LinkUp(self._started)])
        self._buffers.add(buffer)
        try:
            while self._connecting and not self._connecting.done():
                if events := await buffer.get():
                    yield events
            if self._connecting and not self._connecting.cancelled():
                self._connecting.result()
        finally:
            self._buffers.discard(buffer)

    async def _keep_connected(self) -> None:
        backoff_s = _BACKOFF_MIN_S
        while True:
            try:
                async with self._connect() as (link, started):
                    backoff_s = _BACKOFF_MIN_S
                    await self._hold(link, started)
            except GatewayUnavailable as error:
                _logger.warning("switch unreachable", switch=self._switch, error=str(error), retry_in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)

    async def _hold(self, link: L, started: str) -> None:
        self.current, self._started = link, started
        self._put_all([LinkUp(started)])
        try:
            await link.until_lost()
        finally:
            self.current = None
            self._put_all([LinkDown()])

    def _put_all(self, events: Sequence[GatewayEvent]) -> None:
        for buffer in self._buffers:
            if not buffer.put(events) and self.current:
                _logger.warning("slow consumer disconnected", switch=self._switch)
                self.current.cut()

    def _wake_all(self, _: object) -> None:
        for buffer in self._buffers:
            buffer.put([])
