"""The process ``serve``: uvicorn with bounds that it lacks, and an end that finishes what was begun (http.md §8)."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from interfaces.api.app import create_app
from interfaces.api.web.context import ApiState
from interfaces.bootstrap.services import services
from interfaces.config.settings import Settings
from interfaces.config.webhooks import webhook_options
from interfaces.processes.event_loop import loop_factory

_KEEP_ALIVE_SECONDS = 75  # longer than proxies keep their side, or they would send into a closing connection

_log = structlog.get_logger("perezvon.serve")


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose request head is bounded in time, bytes and number of fields; uvicorn's own is not.

    Leans on the names of uvicorn's callbacks: its version is pinned, and tests probe all bounds over a socket.
    """

    head_seconds = 5.0
    head_bytes = 32_768
    head_fields = 100

    _timer: asyncio.TimerHandle | None = None
    _seen = 0
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless they belong to a head that does not end.

        Counted after the fact: one read may hold a head and a long body.
        """
        if self._timer and self._seen > self.head_bytes:
            self._refuse()
            return
        self._seen += len(data)
        if not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._seen = self._head = 0
        self._watch()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field, unless it is one too many."""
        self._head += len(name) + len(value) + 4
        if self._head > self.head_bytes or len(self.headers) >= self.head_fields:
            self._refuse()
            raise RuntimeError("The head is too large")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head."""
        self._unwatch()
        super().on_headers_complete()

    def _watch(self) -> None:
        self._unwatch()
        self._timer = self.loop.call_later(self.head_seconds, self._refuse, b"408 Request Timeout")

    def _unwatch(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: bytes = b"431 Request Header Fields Too Large") -> None:
        self._unwatch()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
            self.transport.close()


class DrainingServer(uvicorn.Server):
    """Ends on SIGTERM and SIGINT without raising them again: who called it has still to close what it opened."""

    def __init__(self, config: uvicorn.Config, api: ApiState, ready: Callable[[], None]) -> None:
        """Tell ``api`` when draining begins, and call ``ready`` once connections are accepted."""
        super().__init__(config)
        self._api = api
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets)
        self._ready()

    def drain(self) -> None:
        """Finish the requests under way and end; asked for twice, end at once."""
        _log.info("draining")
        self.force_exit = self.should_exit
        self.should_exit = self._api.draining = True

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Drain on SIGTERM and SIGINT while the server runs; only a process's main thread hears signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.drain)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def serve(dsn: str, settings: Settings, listener: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Serve the API until SIGTERM or SIGINT, then drain; asked for twice, end at once.

    Args:
        dsn: the database, for the service's role.
        settings: what the deployment set.
        listener: a listening socket; it is closed at the end.
        ready: called once connections are accepted.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serving(dsn, settings, listener, ready))


async def serving(
    dsn: str, settings: Settings, listener: socket.socket, ready: Callable[[], None] = lambda: None
) -> None:
    """Do what ``serve`` does, in the running loop."""
    async with services(dsn, webhook_options(settings)) as opened:
        app = create_app(settings, opened)
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
        server = DrainingServer(config, app.state.api, ready)
        await server.serve(sockets=[listener])
