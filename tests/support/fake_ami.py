"""A fake Manager Interface with scripted responses, which keeps every byte that it receives."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from infrastructure.gateways.asterisk.options import AsteriskOptions

USER, SECRET, CHALLENGE = "perezvon", "correct horse", "123456789"
GREETING = b"Asterisk Call Manager/11.0.0\r\n"

Action = list[tuple[str, str]]
Reply = Callable[["ReceivedAction"], bytes]


class ReceivedAction:
    """A received action."""

    def __init__(self, text: str) -> None:
        self.lines = [(name, value) for line in text.split("\r\n") for name, _, value in [line.partition(": ")]]

    def get(self, name: str) -> str:
        return next((value for label, value in self.lines if label == name), "")

    @property
    def variables(self) -> dict[str, str]:
        pairs = (value.partition("=") for label, value in self.lines if label == "Variable")
        return {name: value for name, _, value in pairs}

    def done(self, *lines: str) -> bytes:
        """Return a response of success."""
        return message("Response: Success", f"ActionID: {self.get('ActionID')}", *lines)

    def refused(self, why: str) -> bytes:
        return message("Response: Error", f"ActionID: {self.get('ActionID')}", f"Message: {why}")

    def listed(self, *items: tuple[str, ...]) -> bytes:
        """Return a list as the response."""
        action_id = f"ActionID: {self.get('ActionID')}"
        rows = b"".join(message("Event: Item", action_id, *item) for item in items)
        return self.done("EventList: start") + rows + message("Event: ItemsComplete", action_id, "EventList: Complete")


def message(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


def event(kind: str, *lines: str) -> bytes:
    """Return an unsolicited event."""
    return message(f"Event: {kind}", "Privilege: call,all", *lines)


class FakeAmi:
    """A fake that by default has no channels and no ledger rows, and accepts every call."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.greeting = GREETING
        self.received = b""
        self.received_actions: list[ReceivedAction] = []
        self.replies: dict[str, Reply] = {
            "Challenge": lambda received: received.done(f"Challenge: {CHALLENGE}"),
            "Login": _login,
            "CoreStatus": lambda received: received.done("CoreStartupDate: 2026-11-22", "CoreStartupTime: 10:07:37"),
            "CoreShowChannels": ReceivedAction.listed,
            "DBGet": lambda received: received.refused("Database entry not found"),
        }

    def options(
        self, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, secret: str = SECRET
    ) -> AsteriskOptions:
        return AsteriskOptions(host=host, port=self.port, user=USER, secret=secret, trunk="trunk", tls=tls)

    def actions(self, name: str) -> list[ReceivedAction]:
        """Return the received actions of that name."""
        return [received for received in self.received_actions if received.get("Action") == name]

    def send(self, text: bytes) -> None:
        """Send it on all links."""
        for writer in self._writers:
            writer.write(text)

    def cut(self) -> None:
        """Cut all links."""
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator["FakeAmi"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        writer.write(self.greeting)
        try:
            while True:
                data = await reader.readuntil(b"\r\n\r\n")
                self.received += data
                received = ReceivedAction(data.decode().removesuffix("\r\n\r\n"))
                self.received_actions.append(received)
                writer.write(self.replies.get(received.get("Action"), ReceivedAction.done)(received))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def _login(received: ReceivedAction) -> bytes:
    key = hashlib.md5(f"{CHALLENGE}{SECRET}".encode(), usedforsecurity=False).hexdigest()
    is_right = received.get("Username") == USER and received.get("Key") == key
    return received.done() if is_right else received.refused("Authentication failed")
