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
from infrastructure.gateways.simulated.translation import event_of, state_of


class SimulatedGateway:
    """A client of the simulated network. Connects, and reconnects whenever the link is lost, from ``async with`` to its end."""

    def __init__(self, address: str, *, timeout_s: float = 5.0) -> None:
        """Connect to ``address``, a ``host:port`` or the path of a Unix socket; wait at most ``timeout_s`` for a response."""
        self._address = address
        self._timeout_s = timeout_s
        self._link = ReconnectingLink("the simulated network", self._connect)

    async def __aenter__(self) -> Self:
        self._link.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._link.close()

    async def place(self, call: Call) -> PlaceResult:
        """See the port. Returns ``unknown`` when the link is lost or silent before the response."""
        if self._link.current is None:
            return PlaceResult.REFUSED
        try:
            return (await self._link.current.request(Place(call), PlaceResponse)).placed
        except GatewayUnavailable:
            return PlaceResult.UNKNOWN

    async def hang_up(self, call_id: str) -> None:
        """See the port."""
        await self._link.require().request(HangUp(call_id), Done)

    async def find(self, call_ids: Sequence[str]) -> Sequence[CallState]:
        """See the port."""
        response = await self._link.require().request(Find(call_ids), FindResponse)
        if len(response.known) != len(call_ids):
            raise GatewayUnavailable(f"expected {len(call_ids)} call states, received {len(response.known)}")
        return [state_of(known) for known in response.known]

    def events(self) -> AsyncIterator[Sequence[GatewayEvent]]:
        """See the port, and ``ReconnectingLink.events``."""
        return self._link.events()

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[tuple[Connection, str]]:
        async with Connection(self._address, self._timeout_s, self._receive) as connection:
            welcome = await connection.request(Hello(events=True), Welcome)
            yield connection, welcome.started

    def _receive(self, call_events: list[CallEvent]) -> None:
        self._link.publish([event for one in call_events if (event := event_of(one))])
