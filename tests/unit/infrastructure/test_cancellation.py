"""A task that is told to stop stops, whatever it waits for."""

import asyncio
from contextlib import suppress

import pytest

from application.errors import StorageUnavailable
from infrastructure.postgres.cancellation import propagate_cancellation

pytestmark = pytest.mark.anyio


async def told_to_stop(task: asyncio.Task[None]) -> bool:
    """Cancel the task; answer whether it came to an end for that."""
    task.cancel()
    await asyncio.wait([task], timeout=5)
    return task.cancelled()


async def test_a_cancellation_counts_that_comes_in_the_turn_in_which_a_wait_ends() -> None:
    come = asyncio.Event()

    async def wait_on_and_on() -> None:
        while True:
            with propagate_cancellation():
                await asyncio.wait_for(come.wait(), 60)
            come.clear()

    task = asyncio.create_task(wait_on_and_on())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    come.set()
    await asyncio.sleep(0)
    assert await told_to_stop(task)


async def test_a_cancellation_counts_that_looks_like_a_lost_database() -> None:
    asked = asyncio.Event()

    async def ask_and_go_on() -> None:
        with suppress(StorageUnavailable), propagate_cancellation():
            await ask()

    async def ask() -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise StorageUnavailable("QueryCanceled") from None

    task = asyncio.create_task(ask_and_go_on())
    await asked.wait()
    assert await told_to_stop(task)


async def test_whoever_was_told_before_may_still_tidy_up() -> None:
    tidied = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with propagate_cancellation():
                await asyncio.sleep(0)
            tidied.set()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert await told_to_stop(task)
    assert tidied.is_set()


async def test_errors_of_others_pass() -> None:
    with pytest.raises(StorageUnavailable), propagate_cancellation():
        raise StorageUnavailable("gone")


async def test_a_time_limit_stays_one() -> None:
    async def wait_too_long() -> None:
        async with asyncio.timeout(0):
            with propagate_cancellation():
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait_too_long()
