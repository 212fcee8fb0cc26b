"""The sender with targets and responses of every kind: no private address is reached, no bound is exceeded."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web

from application.webhook_options import WebhookOptions
from application.webhook_targets import TargetPolicy
from infrastructure.webhooks import sender as sending
from infrastructure.webhooks.delivery_schedule import ReceiverResponse
from infrastructure.webhooks.name_lookup import Lookup
from infrastructure.webhooks.sender import AiohttpSender, open_sender
from infrastructure.webhooks.ssrf_guard import SsrfGuard
from tests.support.certificates import certificate_for
from tests.support.receiving import Received, Receiver, never, receiving
from tests.support.webhooks import OPENED, OPTIONS, ORGANIZATION

pytestmark = pytest.mark.anyio

CLOSED = WebhookOptions(timeout=2.0)
BLOCKED = "destination_not_allowed"
SPELLINGS = [
    "127.0.0.1", "localhost", "localhost.", "[::1]", "[::ffff:7f00:1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001",
    "127.1", "0.0.0.0", "169.254.169.254", "169.254.169.254.", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::7f00:1]", "[::127.0.0.1]",  # noqa: S104 - nothing is bound to it
    "[2002:7f00:1::]", "[fe80::1%25lo]", "[::]", "10.0.0.1", "224.0.0.1",
]  # fmt: skip


async def post(sender: AiohttpSender, url: str) -> ReceiverResponse:
    return await sender.post(ORGANIZATION, url, {"webhook-id": "msg_1"}, b"{}")


def unchecked(_url: str, _allowed: object) -> None:
    """Accept every URL, so that only the guard of the socket remains."""


def resolving(*lists: Sequence[str]) -> Lookup:
    """Return a resolver that returns the first list, then the next one, and at the end always the last."""
    left = list(lists)

    async def lookup(_host: str) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return lookup


@asynccontextmanager
async def all_sockets_watched(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[list[Any]]:
    """Record the addresses that this process connects to."""
    connected: list[Any] = []
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def watched(sock: socket.socket, address: Any) -> None:
        connected.append(address)
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", watched)
    yield connected


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("is_checked_before", [True, False])
async def test_no_private_address_is_connected_to_in_any_spelling(
    host: str, monkeypatch: pytest.MonkeyPatch, *, is_checked_before: bool
) -> None:
    """Check that the guard of the socket suffices; the check of the URL makes all errors equal."""
    if not is_checked_before:
        monkeypatch.setattr(sending, "check_target", unchecked)
    async with receiving() as receiver, open_sender(CLOSED) as sender, all_sockets_watched(monkeypatch) as connected:
        port = receiver.url.rpartition(":")[2]
        response = await post(sender, f"http://{host}:{port}/hook")
        assert (response.status, response.head) == (None, b"")
        assert response.error == BLOCKED or (not is_checked_before and response.error == "dns_failed")
        assert (receiver.got, connected) == ([], [])


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["10.0.0.1", "93.184.215.14"], ["93.184.215.14"] * 4 + ["::1"]],
)
async def test_one_private_address_refuses_the_whole_name(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_sender(CLOSED, resolving(addresses)) as sender, all_sockets_watched(monkeypatch) as connected:
        assert (await post(sender, "http://example.com:8080/")).error == BLOCKED
        assert connected == []


async def test_a_name_that_is_rebound_between_two_lookups_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the address is tested when the socket is opened, even if an earlier lookup was allowed."""
    async with receiving() as receiver:
        port = receiver.url.rpartition(":")[2]
        rebinding = resolving(["127.0.0.1"], ["169.254.169.254"], ["10.0.0.1"])
        async with open_sender(OPTIONS, rebinding) as sender, all_sockets_watched(monkeypatch) as connected:
            receiver.default = web.Response(status=200, headers={"connection": "close"})
            assert (await post(sender, f"http://rebind.example:{port}/")).status == 200
            assert (await post(sender, f"http://rebind.example:{port}/")).error == BLOCKED
            assert (await post(sender, f"http://rebind.example:{port}/")).error == BLOCKED
            assert connected == [("127.0.0.1", int(port))]


async def test_a_private_address_that_the_resolver_allows_is_refused_by_the_socket() -> None:
    async with receiving() as receiver, open_sender(CLOSED, resolving(["127.0.0.1"])) as sender:
        connector: Any = sender._session.connector
        connector._resolver._guard = SsrfGuard(OPTIONS.targets)
        assert (await post(sender, f"http://example.com:{receiver.url.rpartition(':')[2]}/")).error == BLOCKED
        assert receiver.got == []


@pytest.mark.parametrize("url", ["http://8.8.8.8:22/", "http://8.8.8.8:25/", "https://[2606:4700::1111]:1023/"])
@pytest.mark.parametrize("is_checked_before", [True, False])
async def test_a_port_of_another_service_is_not_connected_to(
    url: str, monkeypatch: pytest.MonkeyPatch, *, is_checked_before: bool
) -> None:
    if not is_checked_before:
        monkeypatch.setattr(sending, "check_target", unchecked)
    async with open_sender(CLOSED) as sender, all_sockets_watched(monkeypatch) as connected:
        assert (await post(sender, url)).error == BLOCKED
        assert connected == []


async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as receiver, open_sender(OPTIONS) as sender:
        receiver.default = web.Response(status=302, headers={"location": "http://169.254.169.254/latest/meta-data"})
        assert (await post(sender, receiver.url)).status == 302
        assert len(receiver.got) == 1


async def test_proxies_and_netrc_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    async with receiving() as proxy, receiving() as receiver, open_sender(OPTIONS) as sender:
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert (await post(sender, receiver.url)).status == 204
        assert proxy.got == []
        assert "authorization" not in receiver.got[0].headers


async def test_cookies_are_not_kept() -> None:
    async with receiving() as receiver, open_sender(OPTIONS) as sender:
        receiver.default = web.Response(status=200, headers={"set-cookie": "a=1; path=/"})
        await post(sender, receiver.url)
        await post(sender, receiver.url)
        assert "cookie" not in receiver.got[1].headers


async def test_headers_are_ours_alone() -> None:
    async with receiving() as receiver, open_sender(OPTIONS) as sender:
        await sender.post(
            ORGANIZATION, receiver.url, {"webhook-id": "msg_1", "content-type": "application/json"}, b"{}"
        )
        assert receiver.got[0].headers.keys() == {"host", "webhook-id", "content-type", "content-length"}


async def test_a_black_hole_ends_in_a_timeout() -> None:
    async with (
        receiving() as receiver,
        open_sender(WebhookOptions(targets=TargetPolicy(OPENED), timeout=0.3)) as sender,
    ):
        receiver.default = never
        response = await post(sender, receiver.url)
        assert (response.status, response.error) == (None, "timeout")


async def test_reading_a_slow_body_ends_at_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "BODY_SECONDS", 0.3)
    hung_up = asyncio.Event()

    async def drip(_: Received) -> web.StreamResponse:
        response = web.StreamResponse(status=200)
        await response.prepare(requests[0])
        try:
            while True:
                await response.write(b".")
                await asyncio.sleep(0.05)
        finally:
            hung_up.set()

    requests: list[web.Request] = []
    async with receiving_raw(drip, requests) as receiver, open_sender(OPTIONS) as sender:
        response = await post(sender, receiver.url)
        assert (response.status, response.error) == (200, None)
        async with asyncio.timeout(5):
            await hung_up.wait()


@asynccontextmanager
async def receiving_raw(behave: Callable[[Received], Any], requests: list[web.Request]) -> AsyncGenerator[Receiver]:
    """Receive with a behaviour that needs the request itself."""
    async with receiving() as receiver:
        handle = receiver.handle

        async def remembering(request: web.Request) -> web.StreamResponse:
            requests.append(request)
            return await handle(request)

        receiver.default = behave
        async with _served(remembering) as url:
            receiver.url = url
            yield receiver


@asynccontextmanager
async def _served(handle: Callable[[web.Request], Any]) -> AsyncGenerator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_long_or_compressed_body_is_read_in_part_and_not_decompressed() -> None:
    bomb = gzip.compress(bytes(10 << 20))
    async with receiving() as receiver, open_sender(OPTIONS) as sender:
        receiver.responses += [
            web.Response(status=200, body=bomb[: 8 << 10], headers={"content-encoding": "gzip"}),
            web.Response(status=500, body=b"x" * (1 << 20)),
            web.Response(status=200, body=b"ok"),
        ]
        packed, long, short = [await post(sender, receiver.url) for _ in range(3)]
        assert packed.head == bomb[:1024]
        assert (long.status, long.head) == (500, b"x" * 1024)
        assert (short.status, short.head) == (200, b"ok")


async def test_a_receiver_without_http_has_its_own_error() -> None:
    async def gibberish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(gibberish, "127.0.0.1", 0) as server, open_sender(OPTIONS) as sender:
        port = server.sockets[0].getsockname()[1]
        response = await post(sender, f"http://127.0.0.1:{port}/")
        assert (response.status, response.error, response.head) == (None, "bad_answer", b"")


async def test_a_refused_connection_has_its_own_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with open_sender(OPTIONS) as sender:
        assert (await post(sender, f"http://127.0.0.1:{port}/")).error == "connect_failed"


async def test_a_kept_connection_that_the_receiver_closed_is_no_failure() -> None:
    async with receiving() as receiver, open_sender(OPTIONS) as sender:

        async def close_after(received: Received) -> web.StreamResponse:
            return web.Response(status=200, headers={"connection": "keep-alive"})

        receiver.default = close_after
        for _ in range(3):
            assert (await post(sender, receiver.url)).status == 200
            connector = sender._session.connector
            assert connector is not None
            for connections in connector._conns.values():
                for protocol, _ in connections:
                    transport = protocol.transport
                    assert transport is not None
                    transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


async def test_a_certificate_is_verified_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = certificate_for("good.example", tmp_path)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    trusting = ssl.create_default_context(cafile=str(certificate))
    server = await asyncio.start_server(respond, "127.0.0.1", 0, ssl=served)
    async with server, open_sender(OPTIONS, resolving(["127.0.0.1"])) as sender:
        port = server.sockets[0].getsockname()[1]
        unknown_authority = await post(sender, f"https://good.example:{port}/")
        assert unknown_authority.error == "tls_failed"
        connector = sender._session.connector
        monkeypatch.setattr(connector, "_get_ssl_context", Mock(return_value=trusting))
        assert (await post(sender, f"https://good.example:{port}/")).status == 204
        assert (await post(sender, f"https://evil.example:{port}/")).error == "tls_failed"
