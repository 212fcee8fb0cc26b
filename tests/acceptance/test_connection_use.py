"""Requests that share a connection, end it, or arrive in unusual parts."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from interfaces.api.web.http_protocol import BoundedProtocol
from tests.support.listening import running, send_and_read
from tests.support.office import Service

pytestmark = pytest.mark.anyio

HEAD = b"POST /api/tasks HTTP/1.1\r\nhost: test\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nhost: test\r\n"
LIVE_CLOSE = LIVE + b"connection: close\r\n\r\n"


@pytest.fixture
async def port(service: Service) -> AsyncGenerator[int]:
    """Yield the port of a server."""
    async with running(service) as found:
        yield found


async def test_of_many_requests_in_one_read_some_are_served_and_the_connection_is_closed_behind_them(port: int) -> None:
    served = BoundedProtocol.pipeline_max + 1
    response = await send_and_read(port, (LIVE + b"\r\n") * served + LIVE_CLOSE)
    assert response.count(b"HTTP/1.1 200 ") == served
    assert b"connection: close" in response.rpartition(b"HTTP/1.1 ")[2]
    many = await send_and_read(port, (LIVE + b"\r\n") * 2_000)
    assert many.count(b"HTTP/1.1 ") == many.count(b"HTTP/1.1 200 ") == served


@pytest.mark.parametrize(
    "behind", [HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", HEAD + b"host: x\r\n\r\n", b"nonsense\r\n\r\n"]
)
async def test_what_is_malformed_behind_other_requests_takes_none_of_their_responses(port: int, behind: bytes) -> None:
    response = await send_and_read(port, (LIVE + b"\r\n") * 3 + behind)
    assert response.count(b"HTTP/1.1 ") == response.count(b"HTTP/1.1 200 ") == 3


async def test_nothing_is_served_behind_the_last_response_of_a_connection(port: int, service: Service) -> None:
    office = await service.office()
    body = b'{"operator_id": "%s", "title": "behind"}' % office.operator_id.encode()
    post = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    assert (await send_and_read(port, LIVE_CLOSE + post + post[:-5])).count(b"HTTP/1.1 ") == 1
    assert (await office.get("/api/tasks")).json()["total"] == 0


@pytest.mark.parametrize("waiting", [0, 2])
async def test_a_client_that_ends_its_side_gets_its_responses(port: int, service: Service, waiting: int) -> None:
    office = await service.office()
    body = b'{"operator_id": "%s", "title": "x"}' % office.operator_id.encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((LIVE + b"\r\n") * waiting + HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
    writer.write_eof()
    response = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert response.count(b"HTTP/1.1 200 ") == waiting + 1
    assert response.endswith(b"}")


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b'content-length: 100\r\n\r\n{"title'])
async def test_a_client_that_ends_in_the_middle_of_a_request_gets_none(port: int, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()


async def test_the_parts_of_a_body_in_one_read_are_passed_on_at_once(
    port: int, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[int] = []
    on_body = HttpToolsProtocol.on_body

    def count(protocol: HttpToolsProtocol, body: bytes) -> None:
        passed.append(len(body))
        on_body(protocol, body)

    monkeypatch.setattr(HttpToolsProtocol, "on_body", count)
    office = await service.office()
    body = b'{"operator_id": "%s", "title": "x"}' % office.operator_id.encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    head = HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    assert (await send_and_read(port, head + chunks)).startswith(b"HTTP/1.1 200 ")
    assert (len(passed) <= 2, sum(passed)) == (True, len(body))


async def test_a_target_that_is_too_long_is_431_however_it_arrives(port: int) -> None:
    line = b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: test\r\n\r\n"
    assert (await send_and_read(port, line)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("host", [b"x:port", b"x:80:80", b"[::1", b"x]", b"[::1]x", b"a[b]", b"x y", b"x,y"])
async def test_a_host_that_is_no_name_or_address_is_400(port: int, host: bytes) -> None:
    response = await send_and_read(port, b"GET /health/live HTTP/1.1\r\nhost: %s\r\n\r\n" % host)
    assert response.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "host", [b"x", b"x:80", b"x:", b"[::1]:80", b"[fe80::1%25eth0]", b"127.0.0.1:8080", b"a_b.c", b""]
)
async def test_a_host_that_is_one_is_served(port: int, host: bytes) -> None:
    fields = b"connection: close\r\n\r\n"
    response = await send_and_read(port, b"GET /health/live HTTP/1.1\r\nhost: %s\r\n%s" % (host, fields))
    assert response.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("field", [b"authorization: Bearer x", b"Content-Type: text/plain", b"idempotency-key: a"])
async def test_a_field_that_may_stand_once_is_not_repeated(port: int, field: bytes) -> None:
    fields = field + b"\r\n" + field.upper() + b"\r\n\r\n"
    response = await send_and_read(port, LIVE + fields)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert response.endswith(b"Send Authorization, Content-Type and Idempotency-Key at most once")


@pytest.mark.parametrize("version", [b"0.9", b"2.0"])
async def test_another_version_of_http_is_505(port: int, version: bytes) -> None:
    response = await send_and_read(port, b"GET /health/live HTTP/%s\r\nhost: test\r\n\r\n" % version)
    assert response.startswith(b"HTTP/1.1 505 ")
