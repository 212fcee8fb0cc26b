"""Long loops in parts."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from itertools import pairwise

import pytest

from application import cooperative
from application.cooperative import in_parts, yielding
from application.fair_share import all_shares

pytestmark = pytest.mark.anyio


class Clock:
    """Time that passes with each item."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def items(self, count: int, *, seconds: float) -> Iterator[int]:
        """Yield numbers, each of which takes so long."""
        for number in range(count):
            yield number
            self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock by which turns are measured."""
    clock = Clock()
    monkeypatch.setattr(cooperative, "perf_counter", clock)
    return clock


async def test_all_are_yielded_in_their_order(clock: Clock) -> None:
    assert [number async for number in yielding(clock.items(20, seconds=0.0006), 1)] == list(range(20))
    assert [number async for number in yielding([], 1)] == []


async def test_a_short_loop_never_waits(clock: Clock) -> None:
    loop = yielding(clock.items(9, seconds=0.0001), 1)
    with pytest.raises(StopIteration):  # it ends without suspending its task
        _collect(loop).send(None)


async def _collect(loop: AsyncGenerator[int]) -> None:
    async for _ in loop:
        pass


async def test_others_have_their_turn_after_each_millisecond(clock: Clock) -> None:
    seen, reached = [0], 0

    async def neighbour() -> None:
        while True:
            seen.append(reached)
            await asyncio.sleep(0)

    task = asyncio.create_task(neighbour())
    async for number in yielding(clock.items(50, seconds=0.0001), 1):
        reached = number
    task.cancel()
    assert max(later - earlier for earlier, later in pairwise(seen)) <= 12  # ten items, and what rounding adds


async def test_organisations_take_turns_although_one_has_more_work(clock: Clock) -> None:
    order: list[int] = []

    def noted(owner: int) -> Iterator[int]:
        for item in clock.items(4, seconds=0.002):
            order.append(owner)
            yield item

    async def work(owner: int) -> None:
        assert len([item async for item in yielding(noted(owner), owner)]) == 4

    await asyncio.gather(*(work(owner) for owner in (1, 1, 1, 1, 1, 1, 2)))
    until_the_last_of_2 = order[: len(order) - order[::-1].index(2)]
    assert until_the_last_of_2.count(1) <= 6 * 2 + 4, "two items before the first turn, then one for each turn of 2"


async def test_work_without_a_turn_continues_in_the_end(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooperative, "_WAIT_S", 0.0)
    both = [[number async for number in yielding(clock.items(3, seconds=0.002), owner)] for owner in (1, 2)]
    assert both == [[0, 1, 2], [0, 1, 2]]
    assert any(share.resource == "turns of the event loop" for share in all_shares())


async def test_batches_are_handled_in_parts_between_which_others_have_a_turn() -> None:
    turns = list[int]()

    async def neighbour() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    waiting = asyncio.create_task(neighbour())
    parts = [(list(part), len(turns)) async for part in in_parts(range(600))]
    waiting.cancel()
    assert [number for part, _ in parts for number in part] == list(range(600))
    assert all(before < after for (_, before), (_, after) in pairwise(parts))
    assert [part async for part in in_parts([])] == []
