"""The sender: one POST, within bounds of time and bytes that no receiver can exceed."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Protocol

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from application.webhook_options import WebhookOptions
from application.webhook_targets import BadTarget, check_target
from infrastructure.webhooks.delivery_schedule import NOT_ALLOWED, ReceiverResponse
from infrastructure.webhooks.ssrf_guard import AddressBlocked, BoundedResolver, Lookup, SsrfGuard, system_lookup

CONNECT_SECONDS = 5.0
BODY_SECONDS = 2.0
"""Seconds for which the body of a response is read; then it is cut off, because only the status decides."""

READ_MAX = 16 << 10
HEAD_BYTES = 1 << 10
_KEEP_ALIVE_SECONDS = 75.0
_SKIPPED = ("Accept", "Accept-Encoding", "User-Agent")


class Sender(Protocol):
    """Posts a body once."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> ReceiverResponse:
        """Send the body and return the response. Never raises for what the network or the receiver does."""
        ...


class AiohttpSender:
    """A sender without redirects, proxies, cookies and decompression; connections are kept alive."""

    def __init__(self, session: ClientSession, options: WebhookOptions) -> None:
        """Send over ``session``, whose sockets are opened by an ``SsrfGuard``."""
        self._session = session
        self._allowed = options.allowed_networks
        self._timeout = options.timeout

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> ReceiverResponse:
        """See the protocol."""
        started = perf_counter()
        try:
            check_target(url, self._allowed)
            return await self._post(URL(url), headers, body, started)
        except BadTarget:
            return ReceiverResponse(seconds=perf_counter() - started, error=NOT_ALLOWED)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            return ReceiverResponse(seconds=perf_counter() - started, error=_error_of(error))

    async def _post(self, url: URL, headers: Mapping[str, str], body: bytes, started: float) -> ReceiverResponse:
        try:
            return await self._post_once(url, headers, body, started)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            # The receiver may have closed a kept-alive connection at this moment, which is no failure: connect again.
            if isinstance(error, aiohttp.ClientConnectorError):
                raise
            return await self._post_once(url, headers, body, started)

    async def _post_once(self, url: URL, headers: Mapping[str, str], body: bytes, started: float) -> ReceiverResponse:
        left = max(self._timeout - (perf_counter() - started), 0.001)
        response = await self._session.post(
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=ClientTimeout(total=left, sock_connect=CONNECT_SECONDS),
        )
        head = await _head(response)
        return ReceiverResponse(
            seconds=perf_counter() - started,
            status=response.status,
            retry_after=response.headers.get("Retry-After"),
            aborts=response.headers.get("webhook-delivery", "").strip().lower() == "abort-message",
            head=head[:HEAD_BYTES],
        )


async def _head(response: ClientResponse) -> bytes:
    """Return the start of the body; close the connection if the body does not end soon."""
    content = response.content
    if content.is_eof():  # received together with the headers, as most are
        read = bytearray(b"" if content.at_eof() else content.read_nowait(READ_MAX + 1))
    else:
        read = await _read(content)
    if content.at_eof():
        response.release()
    else:
        response.close()
    return bytes(read)


async def _read(content: aiohttp.StreamReader) -> bytearray:
    read = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while not content.at_eof() and len(read) <= READ_MAX:
                read += await content.read(READ_MAX + 1 - len(read))
    except (aiohttp.ClientError, OSError):
        pass  # truncated: the status is all that matters
    return read


def _error_of(error: Exception) -> str:
    """Return a constant word: it shows the receiver's owner what to fix, and reveals nothing about our network."""
    match error:
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, AddressBlocked):
            return NOT_ALLOWED
        case aiohttp.InvalidURL():
            return NOT_ALLOWED
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientConnectorDNSError():
            return "dns_failed"
        case aiohttp.ClientSSLError():
            return "tls_failed"
        case aiohttp.ClientConnectorError():
            return "connect_failed"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "disconnected"
        case _:
            return "bad_answer"


@asynccontextmanager
async def open_sender(options: WebhookOptions, lookup: Lookup = system_lookup) -> AsyncGenerator[AiohttpSender]:
    """Yield a sender all of whose sockets are opened by an ``SsrfGuard``."""
    guard = SsrfGuard(options.allowed_networks)
    resolver = BoundedResolver(guard, lookup)
    connector = TCPConnector(
        resolver=resolver,
        socket_factory=guard.open_socket,
        limit=0,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        ttl_dns_cache=10,
    )
    try:
        async with ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=_SKIPPED,
        ) as session:
            yield AiohttpSender(session, options)
    finally:
        await resolver.close()
