"""The sender: one POST, within bounds of time and bytes that no receiver can exceed."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, Protocol

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from application.fair_share import FairShare
from application.webhook_options import WebhookOptions
from application.webhook_targets import BadTarget, check_target, split_target
from infrastructure.webhooks.delivery_schedule import NOT_ALLOWED, NOT_STARTED, ReceiverResponse
from infrastructure.webhooks.name_lookup import CaresLookup, Lookup
from infrastructure.webhooks.outgoing_request import CURRENT, OutgoingRequest
from infrastructure.webhooks.response_handler import StatusFirstHandler
from infrastructure.webhooks.ssrf_guard import AddressBlocked, LookupNotStarted, SharedResolver, SsrfGuard

LOOKUPS_MAX = 256
CONNECT_SECONDS = 5.0
BODY_SECONDS = 2.0
"""Seconds for which the body of a response is read; then it is cut off, because only the status decides."""

READ_MAX = 16 << 10
HEAD_BYTES = 1 << 10
_KEEP_ALIVE_SECONDS = 75.0
_TIMEOUT = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
_SKIPPED = ("Accept", "Accept-Encoding", "User-Agent")


class Sender(Protocol):
    """Posts a body once."""

    async def post(self, organization_id: int, url: str, headers: Mapping[str, str], body: bytes) -> ReceiverResponse:
        """Send the body and return the response. Never raises for what the network or the receiver does."""
        ...


class AiohttpSender:
    """A sender without redirects, proxies, cookies and decompression; connections are kept alive."""

    def __init__(self, session: ClientSession, options: WebhookOptions) -> None:
        """Send over ``session``, whose sockets are opened by an ``SsrfGuard``."""
        self._session = session
        self._targets = options.targets
        self._timeout = options.timeout

    async def post(self, organization_id: int, url: str, headers: Mapping[str, str], body: bytes) -> ReceiverResponse:
        """See the protocol."""
        started, request = perf_counter(), None
        try:
            check_target(url, self._targets)
            async with asyncio.timeout(self._timeout) as deadline:
                request = OutgoingRequest(organization_id, deadline)
                CURRENT.set(request)
                response = await self._post(request, wire_url(url), headers, body)
                deadline.reschedule(None)  # the status decides: no time limit may void it
        except BadTarget:
            return ReceiverResponse(seconds=perf_counter() - started, error=NOT_ALLOWED)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            seconds = perf_counter() - started
            if request and request.succeeded_with:  # the headers are malformed, or do not end
                return ReceiverResponse(seconds=seconds, status=request.succeeded_with)
            return ReceiverResponse(seconds=seconds, error=_error_of(error))
        left = max(0.0, self._timeout - (perf_counter() - started))
        head = await _head(response, min(left, BODY_SECONDS))
        return ReceiverResponse(
            seconds=perf_counter() - started,
            status=response.status,
            retry_after=response.headers.get("Retry-After"),
            aborts=response.headers.get("webhook-delivery", "").strip().lower() == "abort-message",
            head=head[:HEAD_BYTES],
        )

    async def _post(
        self, request: OutgoingRequest, url: URL, headers: Mapping[str, str], body: bytes
    ) -> ClientResponse:
        try:
            return await self._post_once(url, headers, body)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            # The receiver may have closed a kept-alive connection at this moment, which is no failure: connect again. One
            # that closes a new connection has received the message.
            was_received = request.has_connected or request.succeeded_with
            if was_received or isinstance(error, aiohttp.ClientConnectorError):
                raise
            return await self._post_once(url, headers, body)

    async def _post_once(self, url: URL, headers: Mapping[str, str], body: bytes) -> ClientResponse:
        return await self._session.post(
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=_TIMEOUT,
        )


@lru_cache(maxsize=1024)
def wire_url(url: str) -> URL:
    """Return a URL whose path and query are sent as they are, byte for byte; the host is in lower case and ASCII (IDNA).

    Raises BadTarget, ValueError.
    """
    origin, path = split_target(url)
    # The query is part of the path for yarl, which would drop an empty one.
    path = path if path.startswith("/") else f"/{path}"
    scheme, authority = _origin(origin)
    return URL.build(scheme=scheme, authority=authority, path=path, encoded=True)


@lru_cache(maxsize=4096)
def _origin(origin: str) -> tuple[str, str]:
    url = URL(origin).origin()
    return url.scheme, url.raw_authority


async def _head(response: ClientResponse, seconds: float) -> bytes:
    """Return the start of the body; close the connection if the body does not end soon."""
    content = response.content
    read = bytearray()
    try:
        if content.is_eof():  # received together with the headers, as most are
            read += b"" if content.at_eof() else content.read_nowait(READ_MAX + 1)
        else:
            await _read(content, read, seconds)
    except (aiohttp.ClientError, OSError):
        pass  # truncated or malformed: the status is all that matters
    if content.at_eof() and not content.exception():
        response.release()
    else:
        response.close()
    return bytes(read)


async def _read(content: aiohttp.StreamReader, read: bytearray, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not content.at_eof() and len(read) <= READ_MAX:
            read += await content.read(READ_MAX + 1 - len(read))


def _error_of(error: Exception) -> str:
    """Return a constant word: it shows the receiver's owner what to fix, and reveals nothing about our network."""
    match error:
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, AddressBlocked):
            return NOT_ALLOWED
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, LookupNotStarted):
            return NOT_STARTED
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


class _Connector(TCPConnector):
    """A connector with handlers that hand the status over first."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType] - its socket_factory takes a bare tuple
        self._factory = partial(StatusFirstHandler, loop=self._loop)


@asynccontextmanager
async def open_sender(
    options: WebhookOptions, lookup: Lookup | None = None, places: FairShare | None = None
) -> AsyncGenerator[AiohttpSender]:
    """Yield a sender all of whose sockets are opened by an ``SsrfGuard``.

    ``lookup`` finds the addresses of names, with c-ares by default, in ``places`` of its own by default.
    """
    guard = SsrfGuard(options.targets)
    cares = CaresLookup()
    resolver = SharedResolver(guard, lookup or cares, places or FairShare("DNS look-ups", LOOKUPS_MAX))
    # aiohttp's cache of names would share look-ups, and their waiting, between organisations; c-ares has a cache.
    connector = _Connector(
        resolver=resolver,
        socket_factory=guard.open_socket,
        limit=0,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        use_dns_cache=False,
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
        await cares.close()
