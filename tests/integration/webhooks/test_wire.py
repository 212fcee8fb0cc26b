"""The bytes of requests, and the responses that count, seen by a receiver that reads and writes raw bytes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from infrastructure.webhooks.delivery_schedule import ReceiverResponse
from infrastructure.webhooks.sender import AiohttpSender, open_sender
from tests.support.webhooks import OPTIONS, ORGANIZATION

pytestmark = pytest.mark.anyio


class RawReceiver:
    """Sends the ``answers`` in turn, each in one segment per item; then it closes, or keeps the connection."""

    def __init__(self, *answers: Sequence[bytes]) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self.keeps_open = False
        self.port = 0
        self._answers = list(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self._answers:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(2)
                for segment in self._answers.pop(0):
                    writer.write(segment)
                    await writer.drain()
                if not self.keeps_open:
                    return
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    @property
    def targets(self) -> list[bytes]:
        return [head.split(b" ")[1] for head in self.heads]


@asynccontextmanager
async def served(receiver: RawReceiver) -> AsyncGenerator[AiohttpSender]:
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]

    async def lookup(_host: str) -> Sequence[str]:
        return ["127.0.0.1"]

    async with server, open_sender(OPTIONS, lookup) as sender:
        yield sender


async def post(sender: AiohttpSender, url: str) -> ReceiverResponse:
    return await sender.post(ORGANIZATION, url, {"webhook-id": "msg_1"}, b"{}")


@pytest.mark.parametrize(
    ("registered", "sent"),
    [
        ("", "/"),
        ("/", "/"),
        ("?a=1", "/?a=1"),
        ("/a?", "/a?"),
        ("/a%2Fb%2fc%7E", "/a%2Fb%2fc%7E"),
        ("/a/../b/./c//d", "/a/../b/./c//d"),
        ("/a;v=1/b;c?x=a+b&y=%zz&&=", "/a;v=1/b;c?x=a+b&y=%zz&&="),
        ("/%D0%BF%d0%bf", "/%D0%BF%d0%bf"),
        ("/a|b{}^`[]", "/a|b{}^`[]"),
        ("/a?b#c", "/a?b"),
    ],
)
async def test_path_and_query_are_sent_as_registered(registered: str, sent: str) -> None:
    receiver = RawReceiver([b"HTTP/1.1 204 No Content\r\n\r\n"])
    async with served(receiver) as sender:
        assert (await post(sender, f"http://127.0.0.1:{receiver.port}{registered}")).status == 204
    assert receiver.targets == [sent.encode()]


@pytest.mark.parametrize(
    ("host", "header"), [("EXAMPLE.com", "example.com"), ("пример.рф", "xn--e1afmkfd.xn--p1ai"), ("a_b.de.", "a_b.de")]
)
async def test_the_host_is_named_in_lower_case_and_ascii(host: str, header: str) -> None:
    receiver = RawReceiver([b"HTTP/1.1 204 No Content\r\n\r\n"])
    async with served(receiver) as sender:
        assert (await post(sender, f"http://{host}:{receiver.port}/x")).status == 204
    assert f"\r\nHost: {header}:{receiver.port}\r\n".encode() in receiver.heads[0]


@pytest.mark.parametrize(
    "answer",
    [
        [b"HTTP/1.1 204 No Content\r\n\r\nsurprise"],
        [b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"],
        [b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
        [b"HTTP/1.1 204 No Content\r", b"\n\r", b"\nsurprise"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ntoo long"],
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nsurprise"],
        [b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 20_000],
        [b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nno header\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"],
        [b"HTTP/1.1 204 No Content\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"],
        [b"HTTP/1.1 2", b"04\r", b"\nX: half"],
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nno header\r\n\r\n"],
    ],
)
async def test_a_2xx_is_a_2xx_whatever_follows(answer: Sequence[bytes]) -> None:
    receiver = RawReceiver(answer)
    async with served(receiver) as sender:
        response = await post(sender, f"http://127.0.0.1:{receiver.port}/")
    assert (response.status in {200, 204}, response.error, receiver.connections) == (True, None, 1)


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/3.0 200 OK\r\n\r\n", b"HTTP/1.1 2000\r\nx\r\n\r\n", b"200 OK\r\n\r\n", b"HTTP/1.1 500 X\r\nx\r\n\r\n"],
)
async def test_what_is_no_2xx_is_none_with_a_malformed_head(answer: bytes) -> None:
    receiver = RawReceiver([answer])
    async with served(receiver) as sender:
        response = await post(sender, f"http://127.0.0.1:{receiver.port}/")
    assert (response.status, response.error) == (None, "bad_answer")


async def test_a_2xx_over_a_used_connection_that_ends_in_its_head_is_not_sent_again() -> None:
    receiver = RawReceiver([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], [b"HTTP/1.1 200 OK\r\nX: half"])
    receiver.keeps_open = True
    async with served(receiver) as sender:
        url = f"http://127.0.0.1:{receiver.port}/"
        assert (await post(sender, url)).status == 200
        receiver.keeps_open = False
        assert (await post(sender, url)).status == 200
    assert len(receiver.heads) == 2


async def test_a_body_after_a_204_is_not_taken_for_the_next_response() -> None:
    receiver = RawReceiver(
        [b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Oops\r\n\r\n"], [b"HTTP/1.1 201 Created\r\n\r\n"]
    )
    async with served(receiver) as sender:
        url = f"http://127.0.0.1:{receiver.port}/"
        assert (await post(sender, url)).status == 204
        assert (await post(sender, url)).status == 201
    assert receiver.connections == 2


async def test_a_receiver_that_closes_a_new_connection_gets_one_post() -> None:
    receiver = RawReceiver([], [b"HTTP/1.1 204 No Content\r\n\r\n"])
    async with served(receiver) as sender:
        response = await post(sender, f"http://127.0.0.1:{receiver.port}/")
    assert (response.status, response.error, len(receiver.heads)) == (None, "disconnected", 1)


async def test_a_receiver_that_closes_a_used_connection_gets_the_post_again() -> None:
    receiver = RawReceiver([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], [], [b"HTTP/1.1 204 No Content\r\n\r\n"])
    receiver.keeps_open = True
    async with served(receiver) as sender:
        url = f"http://127.0.0.1:{receiver.port}/"
        assert (await post(sender, url)).status == 200
        receiver.keeps_open = False
        assert (await post(sender, url)).status == 204
    assert (receiver.connections, len(receiver.heads)) == (2, 3)
