"""A receiver of webhooks on this machine with configurable responses, which records its requests."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from aiohttp import web

Behaviour = Callable[["Received"], Awaitable[web.StreamResponse | int]] | int | web.Response


class Received(NamedTuple):
    """A received request, with the time of the event loop."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def sequence(self) -> int:
        return msgspec.json.decode(self.body)["sequence"]

    @property
    def callback_id(self) -> int:
        return msgspec.json.decode(self.body)["data"]["callback_id"]


class Receiver:
    """Sends the ``responses`` in turn, then ``default``."""

    def __init__(self) -> None:
        self.got: list[Received] = []
        self.responses: deque[Behaviour] = deque()
        self.default: Behaviour = 204
        self.in_flight = self.max_in_flight = 0
        self.url = ""

    def ids(self) -> Sequence[str]:
        return [received.id for received in self.got]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.path, headers, await request.read(), asyncio.get_running_loop().time())
        self.got.append(received)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            response = self.responses.popleft() if self.responses else self.default
            if callable(response) and not isinstance(response, web.Response):
                response = await response(received)
            return web.Response(status=response) if isinstance(response, int) else response
        finally:
            self.in_flight -= 1


@asynccontextmanager
async def receiving(host: str = "127.0.0.1") -> AsyncGenerator[Receiver]:
    """Run a receiver on a free port while the context lasts."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://{host}:{port}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def never(_: Received) -> int:
    """Send no response: a black hole."""
    await asyncio.Event().wait()
    return 204
