"""A process that receives webhooks as many hosts at minimal cost: arguments ``HOSTS HOLES``; it prints hosts with ports.

The first HOSTS respond with 204 at once. The HOLES after them accept a request and never respond.
"""

import asyncio
import sys
from typing import cast

import uvloop

_RESPONSE = b"HTTP/1.1 204 No Content\r\n\r\n"
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Receiver(asyncio.Protocol):
    """A protocol that responds to each complete request, unless it is a black hole."""

    def __init__(self, *, responds: bool) -> None:
        self._responds = responds
        self._got = bytearray()
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.WriteTransport", transport
        )  # the class of uvloop's transport does not derive from it

    def data_received(self, data: bytes) -> None:
        if not self._responds:
            return
        self._got += data
        while (end := self._got.find(_END)) >= 0:
            head = bytes(self._got[:end]).lower()
            at = head.index(_LENGTH) + len(_LENGTH)
            size = end + len(_END) + int(head[at:].split(b"\r\n", 1)[0])
            if len(self._got) < size:
                return
            del self._got[:size]
            self._transport.write(_RESPONSE)


async def main(hosts: int, holes: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    found: list[str] = []
    for number in range(hosts + holes):
        host = f"127.0.0.{number + 1}"  # a lane is all that goes to one host
        server = await loop.create_server(lambda number=number: Receiver(responds=number < hosts), host, 0)
        found.append(f"{host}:{server.sockets[0].getsockname()[1]}")
    print(*found, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
