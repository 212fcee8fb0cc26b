"""The memory that refused and stalled bodies hold, beside neighbours that must be served."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

import msgspec
import pytest

from application.fair_share import all_shares
from interfaces.api.web import body_budget
from interfaces.api.web.body_budget import UNBUDGETED_BYTES
from interfaces.api.web.json_body import BODY_BYTES_MAX, JsonRequest
from tests.acceptance.test_server import HEAD, running
from tests.support.office import QUEUES, Office, Service
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

NEIGHBOURS = 60


@pytest.fixture
async def port(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[int]:
    """Yield the port of a server on which long bodies wait briefly for memory."""
    monkeypatch.setattr(body_budget, "_WAIT_SECONDS", 0.2)
    async with running(service) as found:
        yield found


def held(resource: str) -> int:
    return sum(share.places - share.free for share in all_shares() if share.resource == resource)


@asynccontextmanager
async def stalled(port: int, head: bytes, size: int) -> AsyncGenerator[asyncio.StreamReader]:
    """Announce a body of 8 MiB, send ``size`` bytes of it, and wait."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b"content-length: %d\r\n\r\n" % BODY_BYTES_MAX + b" " * size)
    try:
        yield reader
    finally:
        writer.close()


async def status_of(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


async def post_task(port: int, office: Office) -> int:
    body = b'{"operator_id": "%s", "title": "x"}' % office.operator_id.encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    status = await status_of(reader)
    writer.close()
    return status


async def test_stalled_bodies_hold_a_part_of_a_small_budget_and_neighbours_are_served(
    port: int, office: Office
) -> None:
    async with AsyncExitStack() as stack:
        readers = [
            await stack.enter_async_context(stalled(port, HEAD, 2 * UNBUDGETED_BYTES)) for _ in range(NEIGHBOURS)
        ]
        waiting = {asyncio.create_task(status_of(reader)) for reader in readers}

        async def refused() -> bool:
            return sum(task.done() for task in waiting) >= NEIGHBOURS - 2

        assert [await post_task(port, office) for _ in range(10)] == [200] * 10
        await eventually_async(refused, timeout=30)
        assert {task.result() for task in waiting if task.done()} == {503}
        assert 0 < held("body_bytes_without_token") <= 2 * BODY_BYTES_MAX
        assert await post_task(port, office) == 200
        for task in waiting:
            task.cancel()

    async def returned() -> bool:
        return held("body_bytes_without_token") == 0

    await eventually_async(returned)


async def test_an_organisation_takes_its_share_of_the_memory_for_bodies_and_another_finds_room(
    port: int, office: Office, foreign: Office
) -> None:
    path = b"POST %s HTTP/1.1\r\nhost: test\r\n" % QUEUES.encode()
    heads = [path + b"authorization: %s\r\n" % one.admin["Authorization"].encode() for one in (office, foreign)]
    async with AsyncExitStack() as stack:
        for _ in range(NEIGHBOURS):
            await stack.enter_async_context(stalled(port, heads[0], 2 * UNBUDGETED_BYTES))

        async def full() -> bool:
            return held("body_bytes") == 4 * BODY_BYTES_MAX

        await eventually_async(full)
        await stack.enter_async_context(stalled(port, heads[1], 2 * UNBUDGETED_BYTES))

        async def fuller() -> bool:
            return held("body_bytes") == 5 * BODY_BYTES_MAX

        await eventually_async(fuller)


async def test_a_body_that_trickles_loses_its_memory_soon_after_the_grace(
    port: int, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JsonRequest, "grace_seconds", 0.1)
    monkeypatch.setattr(body_budget, "_REST_S", 0.0)
    async with stalled(port, HEAD, 2 * UNBUDGETED_BYTES) as reader:
        assert await status_of(reader) == 408  # long before the 30 seconds of the whole body, which no test waits for

    async def returned() -> bool:
        return held("body_bytes_without_token") == 0

    await eventually_async(returned)


async def test_a_body_that_is_fast_enough_moves_its_deadline(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[float] = []
    reschedule = asyncio.Timeout.reschedule

    def noted(self: asyncio.Timeout, when: float | None) -> None:
        moved.append(when or 0.0)
        reschedule(self, when)

    monkeypatch.setattr(asyncio.Timeout, "reschedule", noted)
    monkeypatch.setattr(JsonRequest, "seconds", 1000.0)

    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(4):
            yield b" " * (BODY_BYTES_MAX // 4 - 100)
        yield msgspec.json.encode({"operator_id": office.operator_id, "title": "x"})

    assert (await office.client.post("/api/tasks", content=chunks())).status_code == 200
    assert [round(later - earlier) for earlier, later in pairwise(moved[1:5])] == [15, 15, 15]  # a quarter of 60 each


@pytest.mark.parametrize(("title", "status"), [("x", 200), ("", 422)])
async def test_the_memory_of_a_body_is_free_again_a_moment_after_its_response(
    office: Office, title: str, status: int
) -> None:
    response = await office.post_task(title=title, call_transcription="x" * 500_000)
    assert held("body_bytes_without_token") > 500_000
    assert response.status_code == status

    async def returned() -> bool:
        return held("body_bytes_without_token") == 0

    await eventually_async(returned)


async def test_a_body_of_unknown_length_is_counted_as_the_longest(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    take = body_budget.BodyBudget.take

    async def noted(self: body_budget.BodyBudget, caller: None, address: str, size: int) -> body_budget.BodyBytes:
        taken.append(size)
        return await take(self, caller, address, size)

    monkeypatch.setattr(body_budget.BodyBudget, "take", noted)
    body = msgspec.json.encode({"operator_id": office.operator_id, "title": "x", "call_summary": "x" * 10_000})

    async def chunks(blanks: int) -> AsyncGenerator[bytes]:
        yield body
        for _ in range(blanks):
            yield b" " * 1024

    for blanks in (8, 200):
        assert (await office.client.post("/api/tasks", content=chunks(blanks))).status_code == 200
    assert taken == [BODY_BYTES_MAX]
