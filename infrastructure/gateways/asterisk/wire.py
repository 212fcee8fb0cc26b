"""The connection to the Manager Interface: messages in, actions out."""

import asyncio
from collections.abc import Callable
from typing import cast

import structlog

from infrastructure.gateways.asterisk.messages import END

_GREETING = b"Asterisk Call Manager/"
_LONGEST_GREETING = 100
_LONGEST_MESSAGE = 128 * 1024

_logger = structlog.get_logger(__name__)


class Wire(asyncio.Protocol):
    """Hears messages and sends actions. What is sent in one turn of the loop goes out in one write."""

    def __init__(self, hear: Callable[[list[bytes]], None]) -> None:
        """``hear`` is called with the messages that came in, each without its end."""
        self._hear = hear
        self._rest = b""
        self._is_greeted = False
        self._outbox: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def send(self, action: bytes) -> None:
        """Send an action; on a connection that is lost it goes nowhere."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(action)

    def cut(self) -> None:
        """End the connection at once."""
        self._outbox.clear()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # a stream's; uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        *blocks, self._rest = (self._rest + data).split(END)
        if not self._is_greeted and not self._greeted(blocks):
            return
        if len(self._rest) > _LONGEST_MESSAGE:
            self._give_up("a message is too long")
        elif blocks:
            self._hear(blocks)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc  # why is all the same
        self._transport = None
        self.lost.set()

    def _greeted(self, blocks: list[bytes]) -> bool:
        """Take the greeting, a line without an empty one after it; answer whether it has come."""
        first = blocks[0] if blocks else self._rest
        greeting, end, rest = first.partition(b"\r\n")
        is_whole = bool(end or blocks)
        expected = _GREETING if is_whole else _GREETING[: len(greeting)]
        if not greeting.startswith(expected) or len(greeting) > _LONGEST_GREETING:
            self._give_up("this is no Asterisk Manager Interface")
            return False
        if not is_whole:
            return False
        if blocks:
            blocks[0] = rest
        else:
            self._rest = rest
        self._is_greeted = True
        return True

    def _give_up(self, why: str) -> None:
        _logger.warning("cutting the link to Asterisk", error=why)
        self.cut()

    def _flush(self) -> None:
        if self._transport is not None and self._outbox and not self._transport.is_closing():
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()
