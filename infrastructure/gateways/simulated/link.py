"""One end of a connection between the simulated network and a client."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import msgspec
import structlog

T = TypeVar("T")

_LINE_MAX = 16 * 2**20
_UNREAD_MAX = 64 * 2**20  # bytes that the other side has not read

_encoder = msgspec.json.Encoder()
_logger = structlog.get_logger(__name__)


class Link(asyncio.Protocol, Generic[T]):
    """Receives and sends messages, each a line of JSON. Messages sent in one event loop iteration are written together."""

    def __init__(self, decoder: msgspec.json.Decoder[T], on_messages: Callable[["Link[T]", list[T]], None]) -> None:
        """Call ``on_messages`` with the messages that arrive, in order."""
        self._decoder = decoder
        self._on_messages = on_messages
        self._rest = b""
        self._outbox: list[object] = []
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def send(self, message: object) -> None:
        """Send a message; on a lost link it is dropped."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(message)

    def cut(self, *, after_flush: bool = False) -> None:
        """Close the connection: at once, or after all messages are sent."""
        if self._transport is None:
            return
        if after_flush:
            self._flush()
            self._transport.close()
        else:
            self._outbox.clear()
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # a stream's: uvloop's has its methods, and not its type

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > _LINE_MAX:
            self._give_up("a line is too long")
        elif newline:
            self._read(whole)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc  # the reason does not matter
        self._transport = None
        self.lost.set()

    def _read(self, lines: bytes) -> None:
        try:
            messages = self._decoder.decode_lines(lines)
        except msgspec.DecodeError as error:
            self._give_up(str(error))
            return
        self._on_messages(self, messages)

    def _give_up(self, error: str) -> None:
        _logger.warning("link cut", switch="the simulated network", error=error)
        self.cut()

    def _flush(self) -> None:
        if self._transport is not None and self._outbox and not self._transport.is_closing():
            self._transport.write(_encoder.encode_lines(self._outbox))
            if self._transport.get_write_buffer_size() > _UNREAD_MAX:
                self._give_up("the other side does not read: more than 64 MiB are unread")
        self._outbox.clear()
