"""The connection to the Manager Interface: incoming messages, outgoing actions."""

import asyncio
from collections.abc import Callable
from typing import cast

import structlog

from infrastructure.gateways.asterisk.messages import END

_GREETING = b"Asterisk Call Manager/"
_GREETING_MAX = 100
_MESSAGE_MAX = 128 * 1024

_logger = structlog.get_logger(__name__)


class Wire(asyncio.Protocol):
    """Receives messages and sends actions. Actions sent in one event loop iteration are written together."""

    def __init__(self, on_messages: Callable[[list[bytes]], None]) -> None:
        """Call ``on_messages`` with the messages that arrive, each without its terminator."""
        self._on_messages = on_messages
        self._rest = b""
        self._is_greeted = False
        self._outbox: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def send(self, action: bytes) -> None:
        """Send an action; on a lost connection it is dropped."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(action)

    def cut(self) -> None:
        """Close the connection at once."""
        self._outbox.clear()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # a stream's: uvloop's has its methods, and not its type

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        *blocks, self._rest = (self._rest + data).split(END)
        if not self._is_greeted and not self._consume_greeting(blocks):
            return
        if len(self._rest) > _MESSAGE_MAX:
            self._give_up("a message is too long")
        elif blocks:
            self._on_messages(blocks)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc  # the reason does not matter
        self._transport = None
        self.lost.set()

    def _consume_greeting(self, blocks: list[bytes]) -> bool:
        """Consume the greeting, a line with no empty line after it; return whether it has arrived."""
        first = blocks[0] if blocks else self._rest
        greeting, end, rest = first.partition(b"\r\n")
        is_whole = bool(end or blocks)
        expected = _GREETING if is_whole else _GREETING[: len(greeting)]
        if not greeting.startswith(expected) or len(greeting) > _GREETING_MAX:
            self._give_up("not an Asterisk Manager Interface")
            return False
        if not is_whole:
            return False
        if blocks:
            blocks[0] = rest
        else:
            self._rest = rest
        self._is_greeted = True
        return True

    def _give_up(self, error: str) -> None:
        _logger.warning("link cut", switch="Asterisk", error=error)
        self.cut()

    def _flush(self) -> None:
        if self._transport is not None and self._outbox and not self._transport.is_closing():
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()
