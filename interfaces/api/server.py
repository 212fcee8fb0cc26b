"""The process ``serve``: uvicorn with additional bounds, and a shutdown that first finishes the requests in flight."""

import asyncio
import resource
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import structlog
import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from interfaces.api.app import create_app
from interfaces.api.web.connections import Connections
from interfaces.api.web.context import ApiState
from interfaces.api.web.http_protocol import BoundedProtocol
from interfaces.bootstrap.services import services
from interfaces.config.limits import limits_of
from interfaces.config.settings import Settings
from interfaces.config.webhooks import webhook_options
from interfaces.processes.event_loop import loop_factory
from interfaces.processes.garbage_collection import limit_garbage_collection
from interfaces.processes.metrics_server import serving_metrics

_KEEP_ALIVE_SECONDS = 75  # longer than the idle timeout of proxies, or they would send into a closing connection

_OTHER_DESCRIPTORS = 100  # of the database, the log, and files that are read meanwhile

_log = structlog.get_logger("perezvon.serve")


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
        limit_garbage_collection()
        self._ready()

    def drain(self) -> None:
        """Finish the requests in flight and stop; on the second call, stop at once."""
        self.force_exit = self.should_exit
        self.should_exit = self._api.draining = True
        _log.info("draining")

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


def serve(
    dsn: str,
    settings: Settings,
    listener: socket.socket,
    metrics: socket.socket,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve the API until SIGTERM or SIGINT, then drain; on the second signal, stop at once.

    Args:
        dsn: the database, with the service's role.
        settings: the deployment's settings.
        listener: a listening socket; it is closed at the end.
        metrics: a listening socket on which metrics are served without authentication; it is closed at the end.
        ready: called once connections are accepted.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(dsn, settings, listener, metrics, ready))


async def _serve(
    dsn: str, settings: Settings, listener: socket.socket, metrics: socket.socket, ready: Callable[[], None]
) -> None:
    async with serving_metrics(metrics, "serve"):
        await serve_in_loop(dsn, settings, listener, ready)


async def serve_in_loop(
    dsn: str, settings: Settings, listener: socket.socket, ready: Callable[[], None] = lambda: None
) -> None:
    """Serve as ``serve`` does, in the running event loop and without metrics."""
    async with services(
        dsn, webhook_options(settings), limits_of(settings), allow_owner=settings.allow_owner
    ) as opened:
        app = create_app(settings, opened)
        _allow_descriptors(settings.connections)
        config = uvicorn.Config(
            app,
            http=cast("Any", partial(BoundedProtocol, connections=_connections(app, settings))),
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


def _connections(app: Any, settings: Settings) -> Connections:
    trusted = ProxyHeadersMiddleware(app, settings.trusted_proxies).trusted_hosts if settings.trusted_proxies else ()
    return Connections(settings.connections, settings.connections_per_address, trusted)


def _allow_descriptors(connections: int) -> None:
    """Raise the soft limit of file descriptors as far as the connections need; log a warning if it stays too low."""
    needed = connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        _log.warning("too few file descriptors", allowed=hard, needed=needed, setting="PEREZVON_CONNECTIONS")
