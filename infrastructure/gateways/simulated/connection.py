"""The client's end of a connection: requests with their responses, any number in flight."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Self, TypeVar

import msgspec

from application.ports.call_gateway import GatewayUnavailable
from infrastructure.gateways.simulated.address import connect
from infrastructure.gateways.simulated.link import Link
from infrastructure.gateways.simulated.protocol import (
    CallEvent,
    Request,
    RequestBody,
    Response,
    ResponseBody,
    ServerMessage,
)

A = TypeVar("A", bound=ResponseBody)

_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)


class Connection:
    """A connection to the simulated network. It is cut when a response takes longer than ``timeout_s``."""

    def __init__(self, address: str, timeout_s: float, on_events: Callable[[list[CallEvent]], None]) -> None:
        """Call ``on_events`` with the events that arrive."""
        self._address = address
        self._timeout_s = timeout_s
        self._on_events = on_events
        self._link = Link(_decoder, self._handle_messages)
        self._pending: dict[int, tuple[float, asyncio.Future[ResponseBody]]] = {}
        self._numbers = count(1)

    async def __aenter__(self) -> Self:
        """Connect. Raises GatewayUnavailable."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await connect(self._address, lambda: self._link)
        except (OSError, OverflowError, TimeoutError) as error:
            raise GatewayUnavailable(f"{self._address}: {error or type(error).__name__}") from error
        self._watching = asyncio.create_task(self._watch(), name="link to the simulated network")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()
        await asyncio.wait([self._watching])
        self._fail_pending()

    async def until_lost(self) -> None:
        """Return when the connection is lost."""
        await self._link.lost.wait()

    def cut(self) -> None:
        """Close the connection at once."""
        self._link.cut()

    async def request(self, body: RequestBody, kind: type[A]) -> A:
        """Send a request and return its response. Raises GatewayUnavailable when the connection is lost before."""
        if self._link.lost.is_set():
            raise GatewayUnavailable("the link is lost")
        n = next(self._numbers)
        future: asyncio.Future[ResponseBody] = asyncio.get_running_loop().create_future()
        self._pending[n] = time.monotonic(), future
        self._link.send(Request(n, body))
        response = await future
        if not isinstance(response, kind):
            raise GatewayUnavailable(f"expected {kind.__name__}, received {type(response).__name__}")
        return response

    async def _watch(self) -> None:
        """Cut the connection when a response is overdue; fail pending requests once it is lost."""
        while not self._link.lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s / 4):
                    await self._link.lost.wait()
            if self._is_overdue():
                self._link.cut()
        self._fail_pending()

    def _fail_pending(self) -> None:
        self._link.cut()
        pending, self._pending = self._pending, {}
        for _, future in pending.values():
            if not future.done():
                future.set_exception(GatewayUnavailable("the link was lost before the response arrived"))

    def _is_overdue(self) -> bool:
        oldest = next(iter(self._pending.values()), None)
        return oldest is not None and time.monotonic() - oldest[0] > self._timeout_s

    def _handle_messages(self, _link: Link[ServerMessage], messages: list[ServerMessage]) -> None:
        for message in messages:
            if isinstance(message, Response):
                _, future = self._pending.pop(message.n, (0, None))
                if future and not future.done():
                    future.set_result(message.what)
            else:
                self._on_events(list(message.events))
