"""HTTP/1.1 with the bounds that uvicorn lacks.

Overrides callbacks of uvicorn by name: its version is pinned, and tests check all bounds over a socket.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from interfaces.api.web import http_metrics
from interfaces.api.web.connections import Connections

_NON_ASCII = re.compile(rb"[\x80-\xff]")
_HOST = re.compile(  # a name or address, optionally with a port (RFC 9110 §7.2)
    rb"(?:[0-9A-Za-z._~!$&'()*+;=%-]*|\[[0-9A-Za-z:.%~_-]+\])(?::[0-9]{0,5})?"
)

_log = structlog.get_logger("perezvon.http")
_SINGLE = frozenset({b"authorization", b"content-type", b"idempotency-key"})
"""Fields of which a proxy might have checked another one than the one that counts here."""


class Refusal(NamedTuple):
    """A response to what is no request that the application could serve; ``reason`` is its name in metrics and logs."""

    reason: str
    status: bytes
    text: bytes


HEAD_LATE = Refusal("head_timeout", b"408 Request Timeout", b"The request head did not arrive within 5 seconds")
HEAD_LARGE = Refusal(
    "head_too_large", b"431 Request Header Fields Too Large", b"The request head has more than 32 KB or 100 fields"
)
MALFORMED = Refusal("malformed", b"400 Bad Request", b"The request is not valid HTTP/1.1")
HOST = Refusal(
    "host", b"400 Bad Request", b"Send exactly one Host field, with a name or an address and optionally a port"
)
VERSION = Refusal("version", b"505 HTTP Version Not Supported", b"Send HTTP/1.1 or HTTP/1.0")
REPEATED = Refusal(
    "repeated_field", b"400 Bad Request", b"Send Authorization, Content-Type and Idempotency-Key at most once"
)
TRANSFER_CODING = Refusal("transfer_coding", b"501 Not Implemented", b"The only Transfer-Encoding is chunked")
PIPELINED = Refusal(
    "pipelined", b"503 Service Unavailable", b"Too many requests of this connection wait for a response"
)  # never sent: the connection is closed behind the responses to those that wait, and the others were not served
CONNECTIONS = Refusal(
    "connections", b"503 Service Unavailable", b"Too many connections, in total or from your address; try again"
)


class RequestRefused(Exception):
    """Ends the parsing of a request that has been refused."""


class _ResponseTransport:
    """The transport as a response sees it: closing it first lets the rest of the request's body arrive.

    A socket that is closed with unread bytes resets the connection, and the client may lose the response.
    """

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class BoundedProtocol(HttpToolsProtocol):
    """A connection of the server.

    Bounds the head of a request (time, bytes, number of fields), the connections, the requests that wait on a connection, the
    time in which a client must accept the response, and what arrives after the response of a request whose body was not read
    completely.

    Of uvicorn's own state, ``cycle`` is the request that arrived last, and ``pipeline`` holds those that wait, the last first.
    """

    head_seconds = 5.0
    head_bytes = 32_768
    head_fields = 100
    pipeline_max = 50  # one read of 64 KiB may hold 2,000 requests; to create them took 90 ms
    linger_seconds = 5.0
    write_seconds = 30.0

    def __init__(self, *args: Any, connections: Connections, **kwargs: Any) -> None:
        """Take a place of ``connections`` once the connection is made."""
        super().__init__(*args, **kwargs)
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        self._closing_timer: asyncio.TimerHandle | None = None
        self._writing_timer: asyncio.TimerHandle | None = None
        self._bytes_seen = self._head_size = self._hosts = 0
        self._is_in_request_line = True
        self._is_discarding = self._has_ended = False
        self._body_parts: list[bytes] = []
        self._running: Any = None
        self._response_transport: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a place and start the timer of the first head; without a place respond with 503 and close."""
        super().connection_made(transport)
        self._response_transport = _ResponseTransport(transport, self._close_after_response)
        if self._connections.admit(self, self.client[0] if self.client else ""):
            self._start_timer()
        else:
            self._is_discarding = True
            self._write(CONNECTIONS)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Return the place and stop the timers."""
        self._connections.release(self)
        self._stop_timer()
        self._stop_writing_timer()
        if self._closing_timer:
            self._closing_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes, unless they belong to a head that is too large, or follow a refusal.

        The limit is checked before the new bytes are counted: one read may hold a head and a long body.
        """
        if self._is_discarding or self.transport.is_closing():
            return
        if self._timer and self._bytes_seen > self.head_bytes:
            self._refuse(HEAD_LARGE)
            return
        self._bytes_seen += len(data)
        if self._is_in_request_line:
            data = self._encoded_request_line(data)
        self._unset_keepalive_if_required()
        parser = cast(
            "httptools.HttpRequestParser", self.parser
        )  # typed as absent, as it is once the connection is lost
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # ignored, as RFC 9110 §7.8 allows
        except httptools.HttpParserError:
            self._refuse(MALFORMED)
        self._pass_body_on()

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - uvicorn's never keeps the connection
        """Keep the connection for responses to what arrived whole: a client may end its side once it has sent a request."""
        if self._is_discarding or self._running is None or self._running.response_complete:
            return False
        if self.cycle is self._running and self.cycle.more_body:
            return False
        self._has_ended = True
        self._stop_timer()
        self._end_behind_responses()
        return True

    def on_message_begin(self) -> None:
        """Start a head, unless too many requests wait for their responses."""
        if len(self.pipeline) >= self.pipeline_max:
            self._refuse(PIPELINED)
            raise RequestRefused
        self._connections.set_busy(self)
        self._bytes_seen = self._head_size = self._hosts = 0
        self._start_timer()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Pass a part of the target on, unless the head is too large with it."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Pass a header field on, unless the head is too large with it."""
        self._count_head(len(name) + len(value) + 4)
        lower = name.lower()
        if lower == b"host":
            self._hosts += 1 if _HOST.fullmatch(value) else 2
        elif lower == b"transfer-encoding" and value.lower().strip() != b"chunked":  # RFC 9112 §6.1
            self._refuse(TRANSFER_CODING)
            raise RequestRefused
        elif lower in _SINGLE and any(lower == known for known, _ in self.headers):
            self._refuse(REPEATED)
            raise RequestRefused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the application, unless the Host field is missing (HTTP/1.0 has none), repeated or invalid.

        The application finds the exchange in the scope, to say that the connection is closed after the response.
        """
        self._stop_timer()
        if self._http_version() not in {"1.0", "1.1"}:
            self._refuse(VERSION)
            raise RequestRefused
        if self._hosts != 1 and (self._hosts or self._http_version() != "1.0"):
            self._refuse(HOST)
            raise RequestRefused
        super().on_headers_complete()
        self.cycle.transport = self._response_transport
        self.scope.setdefault("state", {})["exchange"] = self.cycle

    def on_body(self, body: bytes) -> None:
        """Collect the parts of one read: chunks of one byte each would cost a hundred times their length otherwise."""
        self._body_parts.append(body)

    def on_message_complete(self) -> None:
        """Expect the next request line."""
        self._pass_body_on()
        self._is_in_request_line = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Serve the next request; note that the connection is idle, unless a further one has arrived.

        Nothing is sent any more once the connection is being closed: what still waits is not served.
        """
        if self._closing_timer:
            self.pipeline.clear()
            self.flow.resume_reading()
            return
        super().on_response_complete()
        if self.cycle.response_complete:
            self._connections.set_idle(self)

    def pause_writing(self) -> None:
        """Start to watch whether the client accepts the response."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """Stop to watch: the client accepted the response."""
        super().resume_writing()
        self._stop_writing_timer()

    def close_idle(self) -> None:
        """Close the connection, which waits for a request."""
        self._close()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, which was idle for too long."""
        self._close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _pass_body_on(self) -> None:
        if self._body_parts:
            body = self._body_parts[0] if len(self._body_parts) == 1 else b"".join(self._body_parts)
            self._body_parts.clear()
            super().on_body(body)

    def _count_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self.head_bytes or len(self.headers) >= self.head_fields:
            self._refuse(HEAD_LARGE)
            raise RequestRefused

    def _http_version(self) -> str:
        return cast("httptools.HttpRequestParser", self.parser).get_http_version()

    def _encoded_request_line(self, data: bytes) -> bytes:
        """Encode bytes of the request line that are not ASCII: curl sends what was typed, and the parser refuses it."""
        end = data.find(b"\n")
        line = data if end < 0 else data[:end]
        self._is_in_request_line = end < 0
        if line.isascii():
            return data
        return _NON_ASCII.sub(lambda found: b"%%%02X" % found[0][0], line) + data[len(line) :]

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.head_seconds, self._refuse, HEAD_LATE)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, refusal: Refusal) -> None:
        """Respond and close; while earlier requests wait for their responses, close silently behind these.

        A request whose body is still read gets this response, and its handler a disconnected client.
        """
        self._stop_timer()
        if self._is_discarding or self.transport.is_closing():
            return
        http_metrics.count_refusal(refusal.reason)
        _log.warning("request refused", reason=refusal.reason, client=self.client[0] if self.client else None)
        self._is_discarding = True
        self._body_parts.clear()
        running = self._running
        if running is None or running.response_complete:
            self._write(refusal)
            self._linger()
        elif self.cycle is running and running.more_body and not running.response_started:
            running.keep_alive = False
            self._write(refusal)
            running.disconnected = True
            running.message_event.set()
            self._linger()
        else:
            self._end_behind_responses()

    def _end_behind_responses(self) -> None:
        """Close the connection behind the responses to the requests that have arrived whole."""
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else self._running
        last.keep_alive = False

    def _write(self, refusal: Refusal) -> None:
        self.transport.write(
            b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s"
            % (refusal.status, len(refusal.text), refusal.text)
        )

    def _close_after_response(self) -> None:
        if (self.cycle.more_body or self._is_discarding) and not self._has_ended:
            self._linger()
        else:
            self._close()

    def _linger(self) -> None:
        """End our side, and discard what still arrives until the client ends its own, or for ``linger_seconds``."""
        self._is_discarding = True
        if not self.transport.is_closing():
            self.transport.write_eof()
            self._closing_timer = self.loop.call_later(self.linger_seconds, self.transport.abort)

    def _close(self) -> None:
        """Close the connection once the response is sent, at the latest in ``write_seconds``."""
        if not self.transport.is_closing():
            self.transport.close()
            self._closing_timer = self.loop.call_later(self.write_seconds, self.transport.abort)

    def _watch_writing(self) -> None:
        self._stop_writing_timer()
        unwritten = self.transport.get_write_buffer_size()
        self._writing_timer = self.loop.call_later(self.write_seconds, self._abort_if_stalled, unwritten)

    def _stop_writing_timer(self) -> None:
        if self._writing_timer:
            self._writing_timer.cancel()
            self._writing_timer = None

    def _abort_if_stalled(self, unwritten_before: int) -> None:
        if self.transport.get_write_buffer_size() < unwritten_before:
            self._watch_writing()
        else:
            http_metrics.count_refusal("response_stalled")
            self.transport.abort()
