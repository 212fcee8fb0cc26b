"""Items that are submitted while a batch is in progress are the next batch."""

import asyncio
from collections.abc import Sequence

import pytest

from application.errors import StorageUnavailable
from application.time_budget import set_owner, start_budget
from infrastructure.postgres.batching import BATCH_BYTES, WAITING_BYTES, Batcher

pytestmark = pytest.mark.anyio


class Recording:
    """Work that records its batches, waits for an event, and fails for odd numbers."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        self.started.set()
        await self.go.wait()
        return [ValueError(item) if item % 2 else item * 10 for item in items]


def submit_for(organization_id: int, batcher: Batcher[int, int], item: int) -> asyncio.Task[int]:
    """Submit an item for a request of the organisation."""

    async def submit() -> int:
        start_budget()
        set_owner(organization_id)
        return await batcher.submit(item)

    return asyncio.create_task(submit())


async def test_a_crowd_shares_batches_and_each_item_gets_its_own_outcome() -> None:
    work = Recording()
    batcher = Batcher[int, int](work, max_items=3)
    submitted = [asyncio.create_task(batcher.submit(n)) for n in range(7)]
    work.go.set()
    outcomes = await asyncio.gather(*submitted, return_exceptions=True)
    assert work.batches == [[0, 1, 2], [3, 4, 5], [6]]
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [0, 20, 40, 60]
    assert sum(isinstance(outcome, ValueError) for outcome in outcomes) == 3


async def test_an_item_submitted_during_a_batch_is_in_the_next() -> None:
    work = Recording()
    batcher = Batcher[int, int](work, max_items=10)
    first = asyncio.create_task(batcher.submit(2))
    await work.started.wait()
    second = [asyncio.create_task(batcher.submit(n)) for n in (4, 6)]
    work.go.set()
    assert await asyncio.gather(first, *second) == [20, 40, 60]
    assert work.batches == [[2], [4, 6]]


async def test_a_failed_batch_raises_for_all_its_items_and_the_next_continues() -> None:
    calls = 0

    async def work(items: Sequence[int]) -> list[int | Exception]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StorageUnavailable
        return list(items)

    batcher = Batcher[int, int](work, max_items=2)
    outcomes = await asyncio.gather(*(batcher.submit(n) for n in range(4)), return_exceptions=True)
    assert [isinstance(outcome, StorageUnavailable) for outcome in outcomes] == [True, True, False, False]


async def test_a_cancelled_submission_does_not_affect_the_others() -> None:
    work = Recording()
    batcher = Batcher[int, int](work, max_items=10)
    impatient, patient = (asyncio.create_task(batcher.submit(n)) for n in (2, 4))
    await work.started.wait()
    impatient.cancel()
    work.go.set()
    assert await patient == 40


async def test_batches_are_bounded_by_bytes() -> None:
    work = Recording()
    batcher = Batcher[int, int](work, max_items=10, size_of=lambda _: BATCH_BYTES // 2)
    work.go.set()
    await asyncio.gather(*(batcher.submit(n) for n in (0, 2, 4)))
    assert work.batches == [[0, 2], [4]]


async def test_too_much_waiting_is_refused_at_once() -> None:
    work = Recording()
    batcher = Batcher[int, int](work, max_items=10, size_of=lambda _: WAITING_BYTES // 4)
    submitted = [submit_for(1, batcher, n) for n in (2, 4)]
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable):
        await submit_for(1, batcher, 6)
    other = submit_for(2, batcher, 10)
    work.go.set()
    assert await asyncio.gather(*submitted, other) == [20, 40, 100]
    assert await submit_for(1, batcher, 8) == 80


async def test_organisations_that_wait_have_their_items_in_each_batch() -> None:
    work = Recording()
    batcher = Batcher[int, int](work, max_items=2)
    first = [submit_for(1, batcher, n) for n in (10, 12, 14, 16)]
    await work.started.wait()
    first += [submit_for(2, batcher, n) for n in (20, 22)]
    await asyncio.sleep(0)
    work.go.set()
    await asyncio.gather(*first)
    assert work.batches == [[10, 12], [14, 20], [16, 22]]


async def test_drain_waits_for_items_in_progress() -> None:
    work = Recording()
    batcher = Batcher[int, int](work, max_items=1)
    submitted = [asyncio.create_task(batcher.submit(n)) for n in (2, 4)]
    await asyncio.sleep(0)
    work.go.set()
    await batcher.drain()
    assert all(one.done() for one in submitted)
