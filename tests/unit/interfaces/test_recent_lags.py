"""The lag of the views is looked up at most once a second."""

import asyncio
from collections.abc import Sequence

import pytest

from application.errors import StorageUnavailable
from application.queries.view_lag import Lag
from interfaces.api.web.recent_lags import RecentLags

pytestmark = pytest.mark.anyio


class Views:
    """Lags whose look-up ends when the test sets ``go``."""

    def __init__(self) -> None:
        self.lookups = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def lags(self) -> Sequence[Lag]:
        self.lookups += 1
        await self.go.wait()
        if self.error:
            raise self.error
        return []

    async def position(self, name: str) -> int:
        raise NotImplementedError(name)

    async def wait_for(self, name: str, position: int, timeout_s: float) -> bool:
        raise NotImplementedError(name, position, timeout_s)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_requests_share_a_lookup_and_its_result_for_a_second() -> None:
    views, clock = Views(), Clock()
    recent = RecentLags(views, clock)
    waiting = [asyncio.create_task(recent.get()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    views.go.set()
    assert await asyncio.gather(*waiting[1:]) == [[]] * 19
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
    recent = RecentLags(views, clock)
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await recent.get()
    assert views.lookups == 1
    clock.now += 1
    views.error = None
    assert await recent.get() == []
