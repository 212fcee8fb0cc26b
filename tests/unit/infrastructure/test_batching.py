"""What is asked for while a batch is under way is done as the next one."""

import asyncio
from collections.abc import Sequence

import pytest

from application.errors import StorageUnavailable
from infrastructure.postgres.batching import BATCH_BYTES, WAITING_BYTES, Batcher

pytestmark = pytest.mark.anyio


class Recording:
    """A work that notes its batches, waits for a sign, and refuses odd numbers."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        self.begun.set()
        await self.go.wait()
        return [ValueError(item) if item % 2 else item * 10 for item in items]


async def test_a_crowd_shares_batches_and_each_gets_its_own_answer() -> None:
    work = Recording()
    group = Batcher[int, int](work, max_items=3)
    asked = [asyncio.create_task(group.submit(n)) for n in range(7)]
    work.go.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert work.batches == [[0, 1, 2], [3, 4, 5], [6]]
    assert [answer for answer in answers if isinstance(answer, int)] == [0, 20, 40, 60]
    assert sum(isinstance(answer, ValueError) for answer in answers) == 3


async def test_who_asks_during_a_batch_is_in_the_next() -> None:
    work = Recording()
    group = Batcher[int, int](work, max_items=10)
    first = asyncio.create_task(group.submit(2))
    await work.begun.wait()
    second = [asyncio.create_task(group.submit(n)) for n in (4, 6)]
    work.go.set()
    assert await asyncio.gather(first, *second) == [20, 40, 60]
    assert work.batches == [[2], [4, 6]]


async def test_a_batch_that_breaks_tells_all_its_askers_and_the_next_goes_on() -> None:
    calls = 0

    async def work(items: Sequence[int]) -> list[int | Exception]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StorageUnavailable
        return list(items)

    group = Batcher[int, int](work, max_items=2)
    answers = await asyncio.gather(*(group.submit(n) for n in range(4)), return_exceptions=True)
    assert [isinstance(answer, StorageUnavailable) for answer in answers] == [True, True, False, False]


async def test_somebody_who_gave_up_waiting_does_not_disturb_the_others() -> None:
    work = Recording()
    group = Batcher[int, int](work, max_items=10)
    impatient, patient = (asyncio.create_task(group.submit(n)) for n in (2, 4))
    await work.begun.wait()
    impatient.cancel()
    work.go.set()
    assert await patient == 40


async def test_batches_are_bounded_by_bytes() -> None:
    work = Recording()
    group = Batcher[int, int](work, max_items=10, size_of=lambda _: BATCH_BYTES // 2)
    work.go.set()
    await asyncio.gather(*(group.submit(n) for n in (0, 2, 4)))
    assert work.batches == [[0, 2], [4]]


async def test_too_much_waiting_is_refused_at_once() -> None:
    work = Recording()
    group = Batcher[int, int](work, max_items=10, size_of=lambda _: WAITING_BYTES // 2)
    asked = [asyncio.create_task(group.submit(n)) for n in (2, 4)]
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable):
        await group.submit(6)
    work.go.set()
    assert await asyncio.gather(*asked) == [20, 40]
    assert await group.submit(8) == 80


async def test_draining_waits_for_what_is_under_way() -> None:
    work = Recording()
    group = Batcher[int, int](work, max_items=1)
    asked = [asyncio.create_task(group.submit(n)) for n in (2, 4)]
    await asyncio.sleep(0)
    work.go.set()
    await group.drain()
    assert all(one.done() for one in asked)
