"""Prometheus metrics of ``serve`` and ``work``, on an address of their own that other clients do not reach."""

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from application.fair_share import FairShare, all_shares
from interfaces.processes.sockets import CannotListen, listen, url_of

OF_API = "127.0.0.1:9464"
OF_WORKER = "127.0.0.1:9465"
FREE_PORT = "127.0.0.1:0"

_HEAD_BYTES = 8192
_CONNECTIONS_MAX = 20
_TIMEOUT_S = 5.0
_CACHED_S = 1.0

_log = structlog.get_logger("perezvon.metrics")


def open_metrics(setting: str | None, default: str) -> socket.socket:
    """Return the listening socket of the metrics.

    If the default address is in use, for example by another process of the same kind, it is a free port of the loopback
    address. Raises CannotListen when the address of the setting cannot be used.
    """
    try:
        listener = _listen(setting or default)
    except CannotListen:
        if setting:
            raise
        _log.warning("metrics address in use", address=default, setting="PEREZVON_METRICS_ADDRESS")
        listener = _listen(FREE_PORT)
    return listener


@asynccontextmanager
async def serving_metrics(listener: socket.socket, process: str) -> AsyncGenerator[None]:
    """Serve ``GET /metrics`` on the socket, and close it at the end. A log line names ``process`` and the URL."""
    _log.info("metrics served", process=process, url=f"{url_of(listener)}/metrics")
    server = await asyncio.start_server(_MetricsServer().respond, sock=listener, limit=_HEAD_BYTES)
    try:
        yield
    finally:
        server.close()


class _MetricsServer:
    """Responds with a page that is created at most once a second, on at most 20 connections at a time."""

    def __init__(self) -> None:
        self._page = b""
        self._created_at = -_CACHED_S
        self._connections = 0

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to one request and close the connection."""
        self._connections += 1
        try:
            if self._connections <= _CONNECTIONS_MAX:
                async with asyncio.timeout(_TIMEOUT_S):
                    writer.write(self._response(await reader.readuntil(b"\r\n\r\n")))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._connections -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics" or method not in {b"GET", b"HEAD"}:
            return b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        if (now := monotonic()) - self._created_at >= _CACHED_S:
            self._page, self._created_at = generate_latest(), now
        return b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (
            CONTENT_TYPE_LATEST.encode(),
            len(self._page),
            b"" if method == b"HEAD" else self._page,
        )


class ShareCollector(Collector):
    """The fair shares of the process; those of the same resource count as one."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of docs/adr/0013-fair-shares.md."""
        shares = defaultdict[str, list[FairShare]](list)
        for share in all_shares():
            shares[share.resource].append(share)
        places = GaugeMetricFamily("perezvon_share_places", "Places of a shared resource", labels=("resource", "state"))
        waits = CounterMetricFamily("perezvon_share_waits", "Requests that waited for a place", labels=("resource",))
        seconds = CounterMetricFamily(
            "perezvon_share_wait_seconds", "Seconds that requests waited for a place", labels=("resource",)
        )
        refusals = CounterMetricFamily(
            "perezvon_share_refusals", "Requests that got no place in time", labels=("resource",)
        )
        for resource, same in sorted(shares.items()):
            free = sum(share.free for share in same)
            places.add_metric((resource, "held"), sum(share.places for share in same) - free)
            places.add_metric((resource, "free"), free)
            waits.add_metric((resource,), sum(share.waited for share in same))
            seconds.add_metric((resource,), sum(share.waited_s for share in same))
            refusals.add_metric((resource,), sum(share.refused for share in same))
        yield from (places, waits, seconds, refusals)


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        return listen(host.strip("[]"), int(port))
    except CannotListen as error:
        raise CannotListen(f"PEREZVON_METRICS_ADDRESS: cannot listen on {address}: {error.__cause__}") from error


REGISTRY.register(ShareCollector())
