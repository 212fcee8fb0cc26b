"""The server on a real socket: its bounds, and its shutdown."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from infrastructure.postgres.connections import service_dsn
from interfaces.api.server import BoundedProtocol, serve_in_loop
from interfaces.api.web.json_body import JsonRequest
from tests.support.office import UNLIMITED, Office, Service
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SECONDS = 0.3
HEAD = b"POST /api/tasks HTTP/1.1\r\nhost: test\r\n"


@asynccontextmanager
async def running(service: Service) -> AsyncGenerator[int]:
    """Serve on a port in this process, and drain at the end."""
    listener, ready = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
    port = listener.getsockname()[1]
    server = asyncio.create_task(serve_in_loop(service_dsn(service.dsn), UNLIMITED, listener, ready.set))
    await asyncio.wait_for(ready.wait(), 10)
    try:
        yield port
    finally:
        if not server.done():  # otherwise no handler of the signal is left
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(server, 20)


@pytest.fixture
async def port(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[int]:
    """Yield the port of a server with short timeouts."""
    monkeypatch.setattr(BoundedProtocol, "head_seconds", SECONDS)
    monkeypatch.setattr(JsonRequest, "seconds", SECONDS)
    async with running(service) as found:
        yield found


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


@pytest.mark.parametrize("piece", [b"", b"GET", b"GET / HTTP/1.1\r\n", HEAD, HEAD + b"x-half: "])
async def test_a_head_that_does_not_come_in_time_is_408(port: int, piece: bytes) -> None:
    assert (await send_and_read(port, piece)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


@pytest.mark.parametrize(
    "fields",
    [b"x: " + b"y" * 60_000 + b"\r\n", b"".join(b"x-%d: y\r\n" % n for n in range(200)), b"x: " + b"y" * 3_000_000],
    ids=["long field", "many fields", "endless field"],
)
async def test_a_head_that_is_too_large_is_431(port: int, fields: bytes) -> None:
    pieces = [fields[at : at + 16_384] for at in range(0, len(fields), 16_384)]
    response = await send_and_read(port, HEAD, *pieces, b"\r\n")
    assert response == b"" or response.startswith(b"HTTP/1.1 431 ")


async def test_a_head_that_is_just_small_enough_is_served(port: int) -> None:
    fields = b"".join(b"x-%d: %s\r\n" % (n, b"y" * 300) for n in range(90))
    response = await send_and_read(port, b"GET /health/live HTTP/1.1\r\nconnection: close\r\n", fields, b"\r\n")
    assert response.startswith(b"HTTP/1.1 200 ")


async def test_a_body_that_does_not_come_in_time_is_408_in_the_dialect_of_its_path(port: int) -> None:
    response = await send_and_read(port, HEAD + b'content-length: 100\r\n\r\n{"title')
    assert response.startswith(b"HTTP/1.1 408 ")
    assert response.endswith(b'{"detail":"The request body did not arrive within 30 seconds"}')
    assert b"\r\nconnection: close\r\n" in response


async def test_head_and_long_body_in_one_go_are_no_long_head(port: int, service: Service) -> None:
    office = await service.office()
    body = b'{"operator_id": "%s", "title": "x", "call_transcription": "%s"}' % (
        office.operator_id.encode(), b"x" * 900_000,
    )  # fmt: skip
    response = await send_and_read(port, HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    assert response.startswith(b"HTTP/1.1 200 ")


async def test_an_endless_body_is_413(port: int) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    response = await send_and_read(
        port, HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n", *[chunk] * 130
    )
    assert response == b"" or response.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"GET /\xff HTTP/1.1",
        b"GET http://[ HTTP/1.1",
        b"\0",
        b"GET /api/tasks/%ff HTTP/1.1",
        b"GET * HTTP/1.1",
    ],
)
async def test_whatever_is_sent_is_no_500(port: int, line: bytes) -> None:
    response = await send_and_read(port, line + b"\r\nhost: test\r\nconnection: close\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 4")


async def test_requests_in_one_breath_are_answered_in_their_order(port: int) -> None:
    one = b"GET /health/live HTTP/1.1\r\nhost: test\r\nx-request-id: %s\r\n%s\r\n"
    response = await send_and_read(port, one % (b"first", b"") + one % (b"second", b"connection: close\r\n"))
    assert response.count(b"HTTP/1.1 200 ") == 2
    assert response.index(b"x-request-id: first") < response.index(b"x-request-id: second")


async def test_head_has_the_length_of_get_and_no_body(port: int) -> None:
    response = await send_and_read(port, b"HEAD /health/live HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
    assert b"\r\ncontent-length: 17\r\n" in response
    assert response.endswith(b"\r\n\r\n")


async def test_an_answer_does_not_tell_what_server_it_is(port: int) -> None:
    response = await send_and_read(port, b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
    assert b"\r\nserver:" not in response.lower()


@pytest.fixture
def process(service: Service) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield a process of `perezvon serve`, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, descriptor = listener.getsockname()[1], listener.fileno()
        command = [sys.executable, "-P", "-m", "interfaces.cli", "serve", "--socket", str(descriptor)]
        environment = {**os.environ, "PEREZVON_DATABASE_URL": service_dsn(service.dsn), "PEREZVON_RATE_LIMITS": "false"}
        with subprocess.Popen(command, pass_fds=[descriptor], env=environment, stderr=subprocess.PIPE) as found:
            listener.close()
            eventually(lambda: is_live(port), timeout=60)
            yield found, port
            if found.poll() is None:
                found.kill()


def is_live(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


async def test_a_process_that_is_told_to_end_finishes_what_it_was_asked_and_takes_nothing_new(
    process: tuple[subprocess.Popen[bytes], int], office: Office
) -> None:
    server, port = process
    body = b'{"operator_id": "%s", "title": "x"}' % office.operator_id.encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"x-request-id: r-9\r\ncontent-length: %d\r\nexpect: 100-continue\r\n\r\n" % len(body))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    server.send_signal(signal.SIGTERM)
    eventually(lambda: not is_live(port))
    writer.write(body)
    response = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert response.startswith(b"HTTP/1.1 200 ")
    assert server.wait(20) == 0
    task_id = response.partition(b'"id":"')[2][:36].decode()
    assert (await office.get(f"/api/tasks/{task_id}")).status_code == 200
    assert server.stderr
    logged = server.stderr.read().decode()
    lines = [json.loads(line) for line in logged.splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "r-9"]
    assert (line["event"], line["method"], line["route"], line["status"]) == ("request", "POST", "/api/tasks", 200)
    assert office.operator_id not in logged


async def test_a_process_that_is_told_twice_ends_at_once(process: tuple[subprocess.Popen[bytes], int]) -> None:
    server, port = process
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"content-length: 100\r\n\r\n{")
    await writer.drain()
    server.send_signal(signal.SIGINT)
    eventually(lambda: not is_live(port))
    server.send_signal(signal.SIGINT)
    assert server.wait(20) == 0
    writer.close()
