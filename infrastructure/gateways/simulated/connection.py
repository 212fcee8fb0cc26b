"""The client's side of a link: questions and their answers, any number of them under way."""

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
    """A connection to the simulated network. No question waits longer than ``patience_s``: then the line is cut."""

    def __init__(self, address: str, patience_s: float, tell: Callable[[list[CallEvent]], None]) -> None:
        """``tell`` is called with what happened."""
        self._address = address
        self._patience_s = patience_s
        self._tell = tell
        self._link = Link(_decoder, self._heard)
        self._waiting: dict[int, tuple[float, asyncio.Future[ResponseBody]]] = {}
        self._numbers = count(1)

    async def __aenter__(self) -> Self:
        """Connect. Raises GatewayUnavailable."""
        try:
            async with asyncio.timeout(self._patience_s):
                await connect(self._address, lambda: self._link)
        except (OSError, OverflowError, TimeoutError) as error:
            raise GatewayUnavailable(f"{self._address}: {error or type(error).__name__}") from error
        self._holding = asyncio.create_task(self._hold(), name="link to the simulated network")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._holding.cancel()
        await asyncio.wait([self._holding])
        self._let_go()

    async def until_lost(self) -> None:
        """Return when the line is lost."""
        await self._link.lost.wait()

    def cut(self) -> None:
        """Give the line up, on purpose."""
        self._link.cut()

    async def ask(self, question: RequestBody, kind: type[A]) -> A:
        """Answer what is answered to the question. Raises GatewayUnavailable when the line is lost before."""
        if self._link.lost.is_set():
            raise GatewayUnavailable("the link is lost")
        n = next(self._numbers)
        future: asyncio.Future[ResponseBody] = asyncio.get_running_loop().create_future()
        self._waiting[n] = time.monotonic(), future
        self._link.say(Request(n, question))
        answer = await future
        if not isinstance(answer, kind):
            raise GatewayUnavailable(f"the answer is {type(answer).__name__}")
        return answer

    async def _hold(self) -> None:
        """Cut the line when an answer is overdue; tell those who wait when it is lost."""
        while not self._link.lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s / 4):
                    await self._link.lost.wait()
            if self._is_overdue():
                self._link.cut()
        self._let_go()

    def _let_go(self) -> None:
        self._link.cut()
        waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            if not future.done():
                future.set_exception(GatewayUnavailable("the link was lost before the answer came"))

    def _is_overdue(self) -> bool:
        oldest = next(iter(self._waiting.values()), None)
        return oldest is not None and time.monotonic() - oldest[0] > self._patience_s

    def _heard(self, _link: Link[ServerMessage], messages: list[ServerMessage]) -> None:
        for message in messages:
            if isinstance(message, Response):
                _, future = self._waiting.pop(message.n, (0, None))
                if future and not future.done():
                    future.set_result(message.what)
            else:
                self._tell(list(message.events))
