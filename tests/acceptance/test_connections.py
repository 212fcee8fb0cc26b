"""Places for connections: in total, and for each address."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from tests.support.listening import running
from tests.support.office import UNLIMITED, Service, changed
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

HEAD = b"POST /api/tasks HTTP/1.1\r\nhost: test\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nhost: test\r\n"


class Client:
    """A connection that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def live(self) -> int:
        """Return the status of a request; 0 if the connection is closed."""
        try:
            self.writer.write(LIVE + b"\r\n")
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)
            await self.reader.read(17)
        except (ConnectionError, asyncio.IncompleteReadError):
            return 0
        return int(head.split()[1])


@pytest.fixture
async def connect(service: Service) -> AsyncGenerator[Callable[[], Awaitable[Client]]]:
    """Yield a function that connects to a server with ten places, three for each address."""
    settings = changed(UNLIMITED, connections=10, connections_per_address=3)
    clients: list[Client] = []
    async with running(service, settings) as port:

        async def connected(address: str = "127.0.0.1") -> Client:
            clients.append(Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))))
            return clients[-1]

        yield connected
        for client in clients:
            client.writer.close()


async def test_an_address_has_its_share_of_the_connections_and_another_finds_a_place(
    connect: Callable[..., Awaitable[Client]],
) -> None:
    busy = [await connect() for _ in range(3)]
    for client in busy:
        client.writer.write(HEAD + b"content-length: 9\r\n\r\n")
        await client.writer.drain()
    assert await (await connect("127.0.0.2")).live() == 200
    assert await (await connect()).live() == 503
    for client in busy:
        client.writer.close()

    async def free_again() -> bool:
        return await (await connect()).live() == 200

    await eventually_async(free_again)


async def test_an_idle_connection_makes_room_for_a_new_one(connect: Callable[..., Awaitable[Client]]) -> None:
    clients = [await connect() for _ in range(3)]
    assert [await client.live() for client in clients] == [200] * 3
    assert await clients[0].live() == 200  # the second one is idle for the longest time now
    assert await (await connect()).live() == 200
    assert [await client.live() for client in clients] == [200, 0, 200]


async def test_when_all_places_are_taken_the_oldest_idle_connection_makes_room(
    connect: Callable[..., Awaitable[Client]],
) -> None:
    clients = [await connect(f"127.0.0.{n}") for n in range(1, 11)]
    assert [await client.live() for client in clients] == [200] * 10
    assert await (await connect("127.0.0.11")).live() == 200
    assert [await client.live() for client in clients] == [0] + [200] * 9


async def test_all_clients_behind_a_trusted_proxy_find_a_place(service: Service) -> None:
    settings = changed(UNLIMITED, connections=10, connections_per_address=3, trusted_proxies="127.0.0.0/8")
    async with running(service, settings) as port:
        clients = [Client(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(9)]
        assert [await client.live() for client in clients] == [200] * 9
        for client in clients:
            client.writer.close()
