"""The server on a real socket: its bounds, and its shutdown."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator

import httpx
import pytest
from prometheus_client import REGISTRY

from domain.permissions import Role
from infrastructure.postgres.connections import service_dsn
from interfaces.api.web.http_protocol import BoundedProtocol
from interfaces.api.web.json_body import JsonRequest
from tests.support.listening import running, send_and_read
from tests.support.office import Office, Service
from tests.support.waiting import eventually, eventually_async

pytestmark = pytest.mark.anyio

SECONDS = 0.3
HEAD = b"POST /api/tasks HTTP/1.1\r\nhost: test\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nhost: test\r\n"


@pytest.fixture
async def port(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[int]:
    """Yield the port of a server with short timeouts."""
    monkeypatch.setattr(BoundedProtocol, "head_seconds", SECONDS)
    monkeypatch.setattr(JsonRequest, "seconds", SECONDS)
    async with running(service) as found:
        yield found


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
    assert response.startswith(b"HTTP/1.1 431 ")


async def test_a_head_that_is_just_small_enough_is_served(port: int) -> None:
    fields = b"".join(b"x-%d: %s\r\n" % (n, b"y" * 300) for n in range(90))
    response = await send_and_read(port, LIVE + b"connection: close\r\n", fields, b"\r\n")
    assert response.startswith(b"HTTP/1.1 200 ")


async def test_a_body_that_does_not_come_in_time_is_408_in_the_dialect_of_its_path(port: int) -> None:
    response = await send_and_read(port, HEAD + b'content-length: 100\r\n\r\n{"title')
    assert response.startswith(b"HTTP/1.1 408 ")
    assert response.endswith(
        b'{"detail":"The request body did not arrive within 30 seconds, or arrived too slowly after the first 10"}'
    )
    assert b"\r\nconnection: close\r\n" in response


async def test_head_and_long_body_in_one_go_are_no_long_head(port: int, service: Service) -> None:
    office = await service.office()
    body = b'{"operator_id": "%s", "title": "x", "call_transcription": "%s"}' % (
        office.operator_id.encode(), b"x" * 900_000,
    )  # fmt: skip
    response = await send_and_read(port, HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    assert response.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("rest", [b"-1\r\n{}", b"zz\r\n{}", b"ffffffffffffffffff\r\n{}", b"2\r\n{}XX0\r\n\r\n"])
async def test_malformed_chunks_are_400_at_once(port: int, rest: bytes) -> None:
    response = await send_and_read(port, HEAD + b"transfer-encoding: chunked\r\n\r\n" + rest)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert response.endswith(b"The request is not valid HTTP/1.1")


@pytest.mark.parametrize("coding", [b"xchunked", b"identity", b"gzip, chunked"])
async def test_another_transfer_coding_than_chunked_is_501(port: int, coding: bytes) -> None:
    response = await send_and_read(port, HEAD + b"transfer-encoding: %s\r\n\r\n2\r\n{}\r\n0\r\n\r\n" % coding)
    assert response.startswith(b"HTTP/1.1 501 ")


async def test_an_endless_body_is_413(port: int) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    response = await send_and_read(
        port, HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n", *[chunk] * 130
    )
    assert response.startswith(b"HTTP/1.1 413 ")


async def test_a_long_body_is_413_where_no_body_has_long_texts(office: Office) -> None:
    long = {"name": "x" * 300_000}
    assert (await office.client.post("/v1/members", json=long, headers=office.admin)).status_code == 413


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


@pytest.mark.parametrize(
    ("version", "fields", "status"),
    [
        (b"1.1", b"", 400),
        (b"1.1", b"host: a\r\nHost: b\r\n", 400),
        (b"1.1", b"host: a\r\nhost: a\r\n", 400),
        (b"1.1", b"host: a, b\r\n", 400),
        (b"1.1", b"host: user@a\r\n", 400),
        (b"1.1", b"HOST: [::1]:8080\r\n", 200),
        (b"1.1", b"host:\r\n", 200),
        (b"1.0", b"", 200),
        (b"1.0", b"host: a\r\n", 200),
        (b"1.0", b"host: a\r\nhost: b\r\n", 400),
    ],
)
async def test_a_request_has_exactly_one_host_unless_it_is_http_1_0(
    port: int, version: bytes, fields: bytes, status: int
) -> None:
    response = await send_and_read(port, b"GET /health/live HTTP/%s\r\nconnection: close\r\n%s\r\n" % (version, fields))
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert status == 200 or b"Send exactly one Host field" in response


@pytest.mark.parametrize("cut", [0, 25, 40])
async def test_a_query_in_plain_utf_8_is_read(port: int, service: Service, cut: int) -> None:
    office = await service.office()
    task = await office.file_task(title="Доставка")
    await office.file_task(title="Возврат")
    head = "GET /api/tasks?search=достав HTTP/1.1\r\nhost: test\r\nconnection: close\r\n".encode()
    head += b"authorization: %s\r\nperezvon-position: 999999\r\n\r\n" % office.agent["Authorization"].encode()
    response = await send_and_read(port, *([head[:cut], head[cut:]] if cut else [head]))
    assert [one["id"] for one in json.loads(response.partition(b"\r\n\r\n")[2])["items"]] == [task["id"]]


@pytest.mark.parametrize("length", [b"content-length: 1000000", b"transfer-encoding: chunked"])
@pytest.mark.parametrize("method", [b"GET /health/live", b"POST /v1/tokens", b"POST /nowhere"])
async def test_a_connection_whose_body_trickles_after_the_response_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch, method: bytes, length: bytes
) -> None:
    monkeypatch.setattr(BoundedProtocol, "linger_seconds", SECONDS)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(method + b" HTTP/1.1\r\nhost: test\r\n" + length + b"\r\n\r\n1")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"\r\nconnection: close\r\n" in head
    await asyncio.wait_for(reader.read(), 20)

    async def closed() -> bool:
        try:
            writer.write(b"1")
            await writer.drain()
        except ConnectionError:
            return True
        return writer.is_closing()

    await eventually_async(closed)
    writer.close()


async def test_a_long_body_that_is_not_read_does_not_cost_the_client_its_response(port: int) -> None:
    head = b"POST /v1/tokens HTTP/1.1\r\nhost: test\r\ncontent-length: 8000000\r\n\r\n"
    response = await send_and_read(port, head, *[b" " * 1_000_000] * 8)
    assert response.startswith(b"HTTP/1.1 401 ")
    assert b'"code":"unauthenticated"' in response


async def test_a_request_behind_a_body_that_was_not_read_is_not_served(port: int) -> None:
    head = b"POST /v1/tokens HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\n1"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"23" + LIVE + b"\r\n")
    assert b"HTTP/1.1" not in await asyncio.wait_for(reader.read(), 20)
    writer.close()


async def test_a_client_that_does_not_accept_a_long_response_loses_its_connection(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "write_seconds", SECONDS)

    def aborted() -> float:
        return REGISTRY.get_sample_value("perezvon_http_refusals_total", {"reason": "response_stalled"}) or 0

    before = aborted()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /docs/static/swagger-ui-bundle.js HTTP/1.1\r\nhost: test\r\n\r\n" * 20)

        async def is_aborted() -> bool:
            return aborted() > before

        await eventually_async(is_aborted)


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
    assert (line["client"], line["level"]) == ("127.0.0.1", "info")
    assert (line["organization"], line["actor"]) == (office.organization_id, f"operator/{office.operator_number}")
    assert office.operator_id not in logged


async def test_a_refusal_is_logged_as_a_warning_with_its_actor_and_without_its_token(
    process: tuple[subprocess.Popen[bytes], int], office: Office
) -> None:
    server, port = process
    token = office.bearers[Role.AUDITOR]["Authorization"]
    bad = "Bearer pz_nobody_s3cret"
    for number, header in enumerate((token, bad)):
        head = b"POST /v1/tokens HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-request-id: %d\r\nauthorization: %s\r\n\r\n"
        await send_and_read(port, head % (number, header.encode()))
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 0
    assert server.stderr
    logged = server.stderr.read().decode()
    lines = {
        line.get("request_id"): line for line in map(json.loads, logged.splitlines()) if line["event"] == "request"
    }
    forbidden, unauthenticated = lines["0"], lines["1"]
    assert (forbidden["status"], forbidden["level"], forbidden["organization"]) == (
        403,
        "warning",
        office.organization_id,
    )
    assert forbidden["actor"] == f"token/{token.split('_')[1]}"
    assert (unauthenticated["status"], unauthenticated["level"], unauthenticated["client"]) == (
        401,
        "warning",
        "127.0.0.1",
    )
    assert "actor" not in unauthenticated
    assert token.split("_")[2] not in logged
    assert "s3cret" not in logged


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
