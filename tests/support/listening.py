"""The API on a real socket, in this process."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from infrastructure.postgres.connections import service_dsn
from interfaces.api.server import serve_in_loop
from interfaces.config.settings import Settings
from tests.support.office import UNLIMITED, Service


@asynccontextmanager
async def running(service: Service, settings: Settings = UNLIMITED) -> AsyncGenerator[int]:
    """Serve on a port in this process, and drain at the end."""
    listener, ready = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
    port = listener.getsockname()[1]
    server = asyncio.create_task(serve_in_loop(service_dsn(service.dsn), settings, listener, ready.set))
    await asyncio.wait_for(ready.wait(), 10)
    try:
        yield port
    finally:
        if not server.done():  # otherwise no handler of the signal is left
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(server, 20)


async def send_and_read(port: int, *pieces: bytes) -> bytes:
    """Send the pieces, and return all bytes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()
