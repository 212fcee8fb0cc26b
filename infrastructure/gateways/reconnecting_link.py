"""A link to a switch that is made again whenever it is lost, and what is told of the switch meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic, Protocol, TypeVar

import structlog

from application.ports.call_gateway import GatewayEvent, GatewayUnavailable, LinkDown, LinkUp
from infrastructure.gateways.event_buffer import EventBuffer

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_logger = structlog.get_logger(__name__)


class Link(Protocol):
    """A connection to a switch."""

    async def until_lost(self) -> None:
        """Return when the connection is lost."""
        ...

    def cut(self) -> None:
        """Give the connection up, on purpose."""
        ...


L = TypeVar("L", bound=Link)


class ReconnectingLink(Generic[L]):
    """Connects, and again after a pause whenever the link is lost, from ``open`` to ``close``."""

    def __init__(self, switch: str, connect: Callable[[], AbstractAsyncContextManager[tuple[L, str]]]) -> None:
        """``connect`` lends a link and the switch's start stamp, or raises GatewayUnavailable; ``switch`` names it in the log."""
        self._switch = switch
        self._is_away = f"{switch} is away"
        self._connect = connect
        self._started = ""
        self._ears: set[EventBuffer] = set()
        self._keeping: asyncio.Task[None] | None = None
        self.now: L | None = None
        """The link, while there is one."""

    def open(self) -> None:
        """Begin to connect."""
        self._keeping = asyncio.create_task(self._keep_connected(), name=f"link to {self._switch}")
        self._keeping.add_done_callback(self._wake_all)

    async def close(self) -> None:
        """Let go of the link. Raises what else than GatewayUnavailable ended it before."""
        assert self._keeping  # noqa: S101 - open was first
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        if not self._keeping.cancelled():
            self._keeping.result()

    def reached(self) -> L:
        """Answer the link. Raises GatewayUnavailable when there is none."""
        if self.now is None:
            raise GatewayUnavailable(f"there is no link to {self._switch}")
        return self.now

    def tell(self, events: Sequence[GatewayEvent]) -> None:
        """Pass on what happened. What came before LinkUp is dropped: it is found out by asking."""
        if self.now is not None and events:
            self._pass_on(events)

    async def events(self) -> AsyncIterator[Sequence[GatewayEvent]]:
        """See the port. The first is LinkUp where the link is up already; it ends with the gateway.

        Who does not listen for long loses the link, hears LinkDown and LinkUp, and knows that something was missed.
        """
        ear = EventBuffer()
        if self.now:
            ear.hear([LinkUp(self._started)])
        self._ears.add(ear)
        try:
            while self._keeping and not self._keeping.done():
                if heard := await ear.listen():
                    yield heard
            if self._keeping and not self._keeping.cancelled():
                self._keeping.result()
        finally:
            self._ears.discard(ear)

    async def _keep_connected(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async with self._connect() as (link, started):
                    pause = _FIRST_PAUSE_S
                    await self._stay(link, started)
            except GatewayUnavailable as error:
                _logger.warning(self._is_away, error=str(error), pause_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _stay(self, link: L, started: str) -> None:
        self.now, self._started = link, started
        self._pass_on([LinkUp(started)])
        try:
            await link.until_lost()
        finally:
            self.now = None
            self._pass_on([LinkDown()])

    def _pass_on(self, events: Sequence[GatewayEvent]) -> None:
        for ear in self._ears:
            if not ear.hear(events) and self.now:
                _logger.warning("cutting the link, its events are not listened to")
                self.now.cut()

    def _wake_all(self, _: object) -> None:
        for ear in self._ears:
            ear.hear([])
