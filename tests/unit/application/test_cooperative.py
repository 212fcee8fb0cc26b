"""Long loops that let other tasks run."""

import asyncio

import pytest

from application.cooperative import yielding

pytestmark = pytest.mark.anyio


async def test_all_are_yielded_in_their_order() -> None:
    assert [number async for number in yielding(range(1_001))] == list(range(1_001))
    assert [number async for number in yielding([])] == []


async def test_others_have_their_turn_after_every_two_hundred() -> None:
    seen, reached = list[int](), 0

    async def neighbour() -> None:
        while True:
            seen.append(reached)
            await asyncio.sleep(0)

    task = asyncio.create_task(neighbour())
    async for number in yielding(range(1, 1_001)):
        reached = number
    task.cancel()
    assert seen == [200, 400, 600, 800, 1_000]
