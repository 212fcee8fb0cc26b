"""A small HTTP/1.1 client on one kept-alive connection: fast enough to load a server from the same machine."""

import asyncio
from typing import NamedTuple

import msgspec


class HttpResponse(NamedTuple):
    """Status, headers (lower-case names) and body of a response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        """Return the body as a JSON object."""
        return msgspec.json.decode(self.body, type=dict[str, object])


class Connection:
    """One connection to a server on this machine; it connects on the first request and again after it was lost."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        """Connect to that port."""
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> HttpResponse:
        """Send a request and return the response. Raises OSError or EOFError when the connection is lost."""
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        length = f"content-length: {len(body)}\r\ncontent-type: application/json\r\n" if body else ""
        text = f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\n{head}{length}\r\n".encode() + body
        try:
            reader, writer = self._streams = self._streams or await asyncio.open_connection(self._host, self._port)
            writer.write(text)
            return await _read_response(reader)
        except (OSError, EOFError):
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def _read_response(reader: asyncio.StreamReader) -> HttpResponse:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return HttpResponse(int(head[0].split(" ", 2)[1]), headers, body)
