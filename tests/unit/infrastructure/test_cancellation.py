"""A cancelled task stops, in any wait."""

import asyncio
from contextlib import suppress

import pytest

from application.errors import StorageUnavailable
from infrastructure.postgres.cancellation import propagate_cancellation

pytestmark = pytest.mark.anyio


async def stops_when_cancelled(task: asyncio.Task[None]) -> bool:
    """Cancel the task; return whether it ended because of that."""
    task.cancel()
    await asyncio.wait([task], timeout=5)
    return task.cancelled()


async def test_a_cancellation_in_the_iteration_in_which_a_wait_ends_is_raised() -> None:
    arrived = asyncio.Event()

    async def wait_repeatedly() -> None:
        while True:
            with propagate_cancellation():
                await asyncio.wait_for(arrived.wait(), 60)
            arrived.clear()

    task = asyncio.create_task(wait_repeatedly())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    arrived.set()
    await asyncio.sleep(0)
    assert await stops_when_cancelled(task)


async def test_a_cancellation_that_looks_like_a_lost_database_is_raised() -> None:
    started = asyncio.Event()

    async def query_and_continue() -> None:
        with suppress(StorageUnavailable), propagate_cancellation():
            await query()

    async def query() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise StorageUnavailable("QueryCanceled") from None

    task = asyncio.create_task(query_and_continue())
    await started.wait()
    assert await stops_when_cancelled(task)


async def test_a_task_that_was_cancelled_before_may_still_clean_up() -> None:
    cleaned_up = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with propagate_cancellation():
                await asyncio.sleep(0)
            cleaned_up.set()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert await stops_when_cancelled(task)
    assert cleaned_up.is_set()


async def test_other_errors_pass() -> None:
    with pytest.raises(StorageUnavailable), propagate_cancellation():
        raise StorageUnavailable("gone")


async def test_a_time_limit_stays_one() -> None:
    async def wait_too_long() -> None:
        async with asyncio.timeout(0):
            with propagate_cancellation():
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait_too_long()
