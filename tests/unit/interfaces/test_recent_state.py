"""The state of the database is looked up at most once a second."""

import asyncio

import pytest

from application.errors import StorageUnavailable
from application.queries.readiness import DatabaseState
from interfaces.api.web.recent_state import RecentState

pytestmark = pytest.mark.anyio


STATE = DatabaseState(lags=[], is_read_only=False)


class Views:
    """A check whose look-up ends when the test sets ``go``."""

    def __init__(self) -> None:
        self.lookups = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def check(self) -> DatabaseState:
        self.lookups += 1
        await self.go.wait()
        if self.error:
            raise self.error
        return STATE


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_requests_share_a_lookup_and_its_result_for_a_second() -> None:
    views, clock = Views(), Clock()
    recent = RecentState(views, clock)
    waiting = [asyncio.create_task(recent.get()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    views.go.set()
    assert await asyncio.gather(*waiting[1:]) == [STATE] * 19
    clock.now += 0.9
    await recent.get()
    assert views.lookups == 1
    clock.now += 0.1
    await recent.get()
    assert views.lookups == 2


async def test_an_unavailable_database_is_told_for_a_second_without_another_lookup() -> None:
    views, clock = Views(), Clock()
    views.go.set()
    views.error = StorageUnavailable("away")
    recent = RecentState(views, clock)
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await recent.get()
    assert views.lookups == 1
    clock.now += 1
    views.error = None
    assert await recent.get() == STATE
