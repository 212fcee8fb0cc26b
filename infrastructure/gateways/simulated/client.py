"""The adapter of the port CallGateway that dials the simulated network."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self

import structlog

from application.gateway import (
    Call,
    Found,
    GatewayDown,
    GatewayEvent,
    LinkDown,
    LinkUp,
    Placed,
)
from infrastructure.gateways.simulated.line import Line
from infrastructure.gateways.simulated.protocol import (
    Done,
    Find,
    Findings,
    HangUp,
    Hello,
    News,
    Place,
    PlaceAnswer,
    Welcome,
)
from infrastructure.gateways.simulated.translation import event_of, found_of

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_MOST_UNHEARD = 100_000

_logger = structlog.get_logger(__name__)


class SimulatedGateway:
    """A client of the simulated network. Connects, and again whenever the link is lost, from ``async with`` to its end."""

    def __init__(self, address: str, *, patience_s: float = 5.0) -> None:
        """``address`` is ``host:port`` or the path of a Unix socket; no answer is waited for longer than the patience."""
        self._address = address
        self._patience_s = patience_s
        self._line: Line | None = None
        self._started = ""
        self._ears: set[_Ear] = set()
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep_connected(), name="simulated gateway")
        self._keeping.add_done_callback(self._wake_all)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._keeping  # noqa: S101 - __aenter__ was first
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        if not self._keeping.cancelled():
            self._keeping.result()

    async def place(self, call: Call) -> Placed:
        """See the port. On a link that broke in between, or stayed silent, the answer is ``unknown``."""
        if self._line is None:
            return Placed.REFUSED
        try:
            return (await self._line.ask(Place(call), PlaceAnswer)).placed
        except GatewayDown:
            return Placed.UNKNOWN

    async def hang_up(self, call_id: str) -> None:
        """See the port."""
        await self._reached().ask(HangUp(call_id), Done)

    async def find(self, call_ids: Sequence[str]) -> Sequence[Found]:
        """See the port."""
        findings = await self._reached().ask(Find(call_ids), Findings)
        if len(findings.known) != len(call_ids):
            raise GatewayDown("not all calls were looked for")
        return [found_of(known) for known in findings.known]

    async def events(self) -> AsyncIterator[Sequence[GatewayEvent]]:
        """See the port. The first is LinkUp where the link is up already; it ends with the gateway.

        Who does not listen for long loses the link, hears LinkDown and LinkUp, and knows that something was missed.
        """
        ear = _Ear()
        if self._line:
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

    def _reached(self) -> Line:
        if self._line is None:
            raise GatewayDown("there is no link to the simulated network")
        return self._line

    async def _keep_connected(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async with Line(self._address, self._patience_s, self._told) as line:
                    welcome = await line.ask(Hello(events=True), Welcome)
                    pause = _FIRST_PAUSE_S
                    await self._stay(line, welcome.started)
            except GatewayDown as error:
                _logger.warning("the simulated network is away", error=str(error), pause_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _stay(self, line: Line, started: str) -> None:
        self._line, self._started = line, started
        self._pass_on([LinkUp(started)])
        try:
            await line.until_lost()
        finally:
            self._line = None
            self._pass_on([LinkDown()])

    def _told(self, news: list[News]) -> None:
        if self._line is None:
            return  # LinkUp comes first; what happened before it is found out by asking
        self._pass_on([event for one in news if (event := event_of(one))])

    def _pass_on(self, events: Sequence[GatewayEvent]) -> None:
        for ear in self._ears:
            if not ear.hear(events) and self._line:
                _logger.warning("cutting the link, its events are not listened to")
                self._line.cut()

    def _wake_all(self, _: object) -> None:
        for ear in self._ears:
            ear.hear([])


class _Ear:
    """What one listener has not heard yet."""

    def __init__(self) -> None:
        self._unheard: list[GatewayEvent] = []
        self._wake = asyncio.Event()

    def hear(self, events: Sequence[GatewayEvent]) -> bool:
        """Take events in; answer whether there was room, for otherwise all are dropped."""
        self._unheard += events
        self._wake.set()
        has_room = len(self._unheard) <= _MOST_UNHEARD
        if not has_room:
            self._unheard.clear()
        return has_room

    async def listen(self) -> Sequence[GatewayEvent]:
        """Answer what came in since the last time, once something did; nothing at the end."""
        await self._wake.wait()
        self._wake.clear()
        heard, self._unheard = self._unheard, []
        return heard
