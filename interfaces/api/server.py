"""The process ``serve``: uvicorn with additional bounds, and a shutdown that first finishes the requests in flight."""

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
from interfaces.config.limits import limits_of
from interfaces.config.settings import Settings
from interfaces.config.webhooks import webhook_options
from interfaces.processes.event_loop import loop_factory

_KEEP_ALIVE_SECONDS = 75  # longer than the idle timeout of proxies, or they would send into a closing connection

_log = structlog.get_logger("perezvon.serve")


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds on the request head that uvicorn lacks: time, bytes and number of fields.

    Overrides callbacks of uvicorn by name: its version is pinned, and tests check all bounds over a socket.
    """

    head_seconds = 5.0
    head_bytes = 32_768
    head_fields = 100

    _timer: asyncio.TimerHandle | None = None
    _bytes_seen = 0
    _head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the timer of the first head."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, unless they belong to a head that is too large.

        The limit is checked before the new bytes are counted: one read may hold a head and a long body.
        """
        if self._timer and self._bytes_seen > self.head_bytes:
            self._refuse()
            return
        self._bytes_seen += len(data)
        if not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Start a head."""
        self._bytes_seen = self._head_size = 0
        self._start_timer()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Pass a header field on, unless the head is too large with it."""
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self.head_bytes or len(self.headers) >= self.head_fields:
            self._refuse()
            raise RuntimeError("The request head is too large")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the timer: the head is complete."""
        self._stop_timer()
        super().on_headers_complete()

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.head_seconds, self._refuse, b"408 Request Timeout")

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: bytes = b"431 Request Header Fields Too Large") -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
            self.transport.close()


class DrainingServer(uvicorn.Server):
    """Stops on SIGTERM and SIGINT without raising them again: its caller still has resources to close."""

    def __init__(self, config: uvicorn.Config, api: ApiState, ready: Callable[[], None]) -> None:
        """Set ``api.draining`` when draining starts, and call ``ready`` once connections are accepted."""
        super().__init__(config)
        self._api = api
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        self._ready()

    def drain(self) -> None:
        """Finish the requests in flight and stop; on the second call, stop at once."""
        _log.info("draining")
        self.force_exit = self.should_exit
        self.should_exit = self._api.draining = True

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Drain on SIGTERM and SIGINT while the server runs; only the main thread of a process receives signals."""
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
    """Serve the API until SIGTERM or SIGINT, then drain; on the second signal, stop at once.

    Args:
        dsn: the database, with the service's role.
        settings: the deployment's settings.
        listener: a listening socket; it is closed at the end.
        ready: called once connections are accepted.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve_in_loop(dsn, settings, listener, ready))


async def serve_in_loop(
    dsn: str, settings: Settings, listener: socket.socket, ready: Callable[[], None] = lambda: None
) -> None:
    """Serve as ``serve`` does, in the running event loop."""
    async with services(dsn, webhook_options(settings), limits_of(settings)) as opened:
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
