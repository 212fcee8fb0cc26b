"""One end of a connection between the simulated network and a client."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import msgspec
import structlog

T = TypeVar("T")

_LONGEST_LINE = 16 * 2**20
_UNREAD_MAX = 64 * 2**20  # bytes that wait for the other side to read

_encoder = msgspec.json.Encoder()
_logger = structlog.get_logger(__name__)


class Link(asyncio.Protocol, Generic[T]):
    """Hears and says messages, each a line of JSON. What is said in one turn of the loop goes out in one write."""

    def __init__(self, decoder: msgspec.json.Decoder[T], hear: Callable[["Link[T]", list[T]], None]) -> None:
        """``hear`` is called with what came in, in order."""
        self._decoder = decoder
        self._hear = hear
        self._rest = b""
        self._outbox: list[object] = []
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def say(self, message: object) -> None:
        """Send a message; on a link that is lost it goes nowhere."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(message)

    def cut(self, *, after_saying: bool = False) -> None:
        """End the connection: at once, or when all is sent that was said."""
        if self._transport is None:
            return
        if after_saying:
            self._flush()
            self._transport.close()
        else:
            self._outbox.clear()
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # a stream's; uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            self._give_up("a line is too long")
        elif newline:
            self._read(whole)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc  # why is all the same
        self._transport = None
        self.lost.set()

    def _read(self, lines: bytes) -> None:
        try:
            messages = self._decoder.decode_lines(lines)
        except msgspec.DecodeError as error:
            self._give_up(str(error))
            return
        self._hear(self, messages)

    def _give_up(self, why: str) -> None:
        _logger.warning("cutting a link of the simulated network", error=why)
        self.cut()

    def _flush(self) -> None:
        if self._transport is not None and self._outbox and not self._transport.is_closing():
            self._transport.write(_encoder.encode_lines(self._outbox))
            if self._transport.get_write_buffer_size() > _UNREAD_MAX:
                self._give_up("the other side does not read")
        self._outbox.clear()
