"""A name server for the run: names that begin with ``dead`` get no answer, all others are this machine."""

import asyncio
import sys
from typing import cast

from interfaces.processes.parent_watch import end_with_parent

ADDRESS = "127.0.0.77"
_HEADER, _A, _TTL = 12, 1, 60


class NameServer(asyncio.DatagramProtocol):
    """The protocol of RFC 1035, as much as a resolver needs."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The class of asyncio's own transport does not derive from it before Python 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", _HEADER) + 1
        if data[_HEADER + 1 : _HEADER + 5].lower() == b"dead":
            return
        question = data[_HEADER : end + 4]
        is_address = int.from_bytes(data[end : end + 2]) == _A
        header = data[:2] + b"\x81\x80" + b"\0\1" + (b"\0\1" if is_address else b"\0\0") + b"\0\0\0\0"
        answer = b"\xc0\x0c\0\1\0\1" + _TTL.to_bytes(4) + b"\0\4" + bytes([127, 0, 0, 1]) if is_address else b""
        self._transport.sendto(header + question + answer, addr)


async def main() -> None:
    """Serve until killed; print a line when ready."""
    await asyncio.get_running_loop().create_datagram_endpoint(NameServer, local_addr=(ADDRESS, 53))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    end_with_parent()
    try:
        asyncio.run(main())
    except PermissionError as error:
        sys.exit(str(error))
