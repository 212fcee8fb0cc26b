"""Metrics on an address of their own."""

import asyncio
import socket
from collections.abc import AsyncGenerator

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from application.fair_share import FairShare
from interfaces.processes import metrics_server
from interfaces.processes.metrics_server import ShareCollector, open_metrics, serving_metrics
from interfaces.processes.sockets import CannotListen, listen

pytestmark = pytest.mark.anyio

pages = Counter("perezvon_test_pages", "Pages of metrics that the test requested")


@pytest.fixture
async def port() -> AsyncGenerator[int]:
    """Yield the port of a server of metrics."""
    with listen("127.0.0.1", 0) as listener:
        async with serving_metrics(listener, "test"):
            yield listener.getsockname()[1]


async def ask(port: int, line: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line + b" HTTP/1.1\r\nhost: test\r\n\r\n")
    response = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return response


@pytest.mark.parametrize("line", [b"GET /metrics", b"GET /metrics?name=x"])
async def test_metrics_are_shown(port: int, line: bytes) -> None:
    response = await ask(port, line)
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\ncontent-type: text/plain; version=" in response
    assert b"perezvon_test_pages_total" in response


@pytest.mark.parametrize("line", [b"GET /", b"GET /metrics/x", b"POST /metrics", b"nonsense", b""])
async def test_everything_else_is_404(port: int, line: bytes) -> None:
    assert (await ask(port, line)).startswith(b"HTTP/1.1 404 ")


async def test_head_has_no_body(port: int) -> None:
    response = await ask(port, b"HEAD /metrics")
    assert response.startswith(b"HTTP/1.1 200 ")
    assert response.endswith(b"\r\n\r\n")


async def test_a_page_is_created_at_most_once_a_second(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "monotonic", lambda: 100.0)
    created = list[int]()
    monkeypatch.setattr(metrics_server, "generate_latest", lambda: created.append(1) or b"page")
    assert [(await ask(port, b"GET /metrics"))[-4:] for _ in range(5)] == [b"page"] * 5
    assert len(created) == 1


async def test_a_head_that_does_not_end_loses_its_connection(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "_TIMEOUT_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics")
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()


async def test_at_most_twenty_connections_are_served(port: int) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
    assert await ask_or_nothing(port) == b""
    for _, writer in idle:
        writer.close()


async def ask_or_nothing(port: int) -> bytes:
    try:
        return await ask(port, b"GET /metrics")
    except ConnectionError:
        return b""


def test_a_default_address_in_use_is_replaced_by_a_free_port_and_one_that_was_set_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with open_metrics(None, address) as listener:
            assert listener.getsockname() != other.getsockname()
        with pytest.raises(CannotListen, match=f"PEREZVON_METRICS_ADDRESS: cannot listen on {address}: "):
            open_metrics(address, "127.0.0.1:0")


async def test_shares_of_the_same_resource_count_as_one() -> None:
    first, second = (FairShare("test places", places) for places in (10, 20))
    assert first.try_acquire("a", 3)
    assert second.try_acquire("b", 5)
    registry = CollectorRegistry()
    registry.register(ShareCollector())
    lines = [line for line in generate_latest(registry).decode().splitlines() if "test places" in line]
    assert lines == [
        'perezvon_share_places{resource="test places",state="held"} 8.0',
        'perezvon_share_places{resource="test places",state="free"} 22.0',
        'perezvon_share_waits_total{resource="test places"} 0.0',
        'perezvon_share_wait_seconds_total{resource="test places"} 0.0',
        'perezvon_share_refusals_total{resource="test places"} 0.0',
    ]
