"""A process that receives webhooks on many ports as cheaply as can be: ``PORTS HOLES``, and prints the ports.

The first PORTS answer 204 at once, the HOLES after them take a request and never answer.
"""

import asyncio
import sys
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Receiver(asyncio.Protocol):
    """Answers each request whose body is complete."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self._got = bytearray()
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        if not self._answers:
            return
        self._got += data
        while (end := self._got.find(_END)) >= 0:
            head = bytes(self._got[:end]).lower()
            at = head.index(_LENGTH) + len(_LENGTH)
            size = end + len(_END) + int(head[at:].split(b"\r\n", 1)[0])
            if len(self._got) < size:
                return
            del self._got[:size]
            self._transport.write(_ANSWER)


async def main(ports: int, holes: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    found: list[int] = []
    for number in range(ports + holes):
        server = await loop.create_server(lambda number=number: Receiver(answers=number < ports), "127.0.0.1", 0)
        found.append(server.sockets[0].getsockname()[1])
    print(*found, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
