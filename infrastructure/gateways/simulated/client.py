"""The adapter of the port CallGateway that dials the simulated network."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from application.ports.call_gateway import Call, CallState, GatewayEvent, GatewayUnavailable, PlaceResult
from infrastructure.gateways.reconnecting_link import ReconnectingLink
from infrastructure.gateways.simulated.connection import Connection
from infrastructure.gateways.simulated.protocol import (
    CallEvent,
    Done,
    Find,
    FindResponse,
    HangUp,
    Hello,
    Place,
    PlaceResponse,
    Welcome,
)
from infrastructure.gateways.simulated.translation import event_of, found_of


class SimulatedGateway:
    """A client of the simulated network. Connects, and again whenever the link is lost, from ``async with`` to its end."""

    def __init__(self, address: str, *, patience_s: float = 5.0) -> None:
        """``address`` is ``host:port`` or the path of a Unix socket; no answer is waited for longer than the patience."""
        self._address = address
        self._patience_s = patience_s
        self._link = ReconnectingLink("the simulated network", self._connect)

    async def __aenter__(self) -> Self:
        self._link.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._link.close()

    async def place(self, call: Call) -> PlaceResult:
        """See the port. On a link that broke in between, or stayed silent, the answer is ``unknown``."""
        if self._link.now is None:
            return PlaceResult.REFUSED
        try:
            return (await self._link.now.ask(Place(call), PlaceResponse)).placed
        except GatewayUnavailable:
            return PlaceResult.UNKNOWN

    async def hang_up(self, call_id: str) -> None:
        """See the port."""
        await self._link.reached().ask(HangUp(call_id), Done)

    async def find(self, call_ids: Sequence[str]) -> Sequence[CallState]:
        """See the port."""
        findings = await self._link.reached().ask(Find(call_ids), FindResponse)
        if len(findings.known) != len(call_ids):
            raise GatewayUnavailable("not all calls were looked for")
        return [found_of(known) for known in findings.known]

    def events(self) -> AsyncIterator[Sequence[GatewayEvent]]:
        """See the port, and ``ReconnectingLink.events``."""
        return self._link.events()

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[tuple[Connection, str]]:
        async with Connection(self._address, self._patience_s, self._told) as line:
            welcome = await line.ask(Hello(events=True), Welcome)
            yield line, welcome.started

    def _told(self, news: list[CallEvent]) -> None:
        self._link.tell([event for one in news if (event := event_of(one))])
