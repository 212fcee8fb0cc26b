"""A relay to an Asterisk's Manager Interface, which injects faults on demand."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Self

_END = b"\r\n\r\n"


class _Cut:
    """The action of a connection at whose response it is cut."""

    at_response_to: bytes | None = None


class AmiRelay:
    """Relays messages one by one, from ``async with`` on; its faults can be set at any time."""

    def __init__(self, port: int, server_port: int) -> None:
        self._port, self._server_port = port, server_port
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.loses_events = False
        """Whether unsolicited events of the switch are dropped."""
        self.cuts_place: bool | None = None
        """Cut the link at the next Originate: before it is relayed (False), or after its response (True)."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def open(self) -> None:
        """Accept connections."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def shut(self) -> None:
        """Refuse connections from now on, and cut the existing ones."""
        if self._listener:
            self._listener.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            with suppress(OSError, EOFError, asyncio.CancelledError):
                async with AsyncExitStack() as stack:
                    stack.callback(to_client.close)
                    from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
                    stack.callback(to_server.close)
                    await self._relay((from_client, to_server), (from_server, to_client))
        finally:
            self._connections.discard(task)

    async def _relay(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Relay messages in both directions until one of them ends."""
        cut = _Cut()
        filters = (partial(self._relay_action, cut), partial(self._relay_message, cut))
        pumps = [asyncio.create_task(_pump(*way, passes)) for way, passes in zip(ways, filters, strict=True)]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)

    def _relay_action(self, cut: _Cut, message: bytes) -> bool:
        if self.cuts_place is None or b"Action: Originate" not in message:
            return True
        written, self.cuts_place = self.cuts_place, None
        if not written:
            raise EOFError
        cut.at_response_to = _field(message, b"ActionID")
        return True

    def _relay_message(self, cut: _Cut, message: bytes) -> bool:
        if cut.at_response_to and _field(message, b"ActionID") == cut.at_response_to:
            raise EOFError
        is_event = message.startswith(b"Event: ")
        is_listed = b"\r\nActionID: " in message and not message.startswith(b"Event: OriginateResponse")
        return not (self.loses_events and is_event and not is_listed)


def _field(message: bytes, name: bytes) -> bytes:
    return message.partition(name + b": ")[2].partition(b"\r\n")[0]


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, passes: Callable[[bytes], bool]) -> None:
    with suppress(OSError, EOFError):
        while True:
            message = await source.readuntil(_END)
            if passes(message):
                target.write(message)
                await target.drain()
