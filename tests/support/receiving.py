"""A receiver of webhooks on this machine that does as it is told, and remembers what came."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from aiohttp import web

Behaviour = Callable[["Received"], Awaitable[web.StreamResponse | int]] | int | web.Response


class Received(NamedTuple):
    """A request as it came in, and the time of the event loop."""

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
    """Answers with what is lined up in ``answers``, then with ``default``."""

    def __init__(self) -> None:
        self.got: list[Received] = []
        self.answers: deque[Behaviour] = deque()
        self.default: Behaviour = 204
        self.under_way = self.most_under_way = 0
        self.url = ""

    def ids(self) -> Sequence[str]:
        return [received.id for received in self.got]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.path, headers, await request.read(), asyncio.get_running_loop().time())
        self.got.append(received)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            answer = self.answers.popleft() if self.answers else self.default
            if callable(answer) and not isinstance(answer, web.Response):
                answer = await answer(received)
            return web.Response(status=answer) if isinstance(answer, int) else answer
        finally:
            self.under_way -= 1


@asynccontextmanager
async def receiving(host: str = "127.0.0.1") -> AsyncGenerator[Receiver]:
    """Receive on a free port."""
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
    """Answer nothing: a black hole."""
    await asyncio.Event().wait()
    return 204
