"""Rests of an organisation that always wants more connections than its share."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from infrastructure.postgres import shared_pool
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.shared_pool import SharedPool

pytestmark = pytest.mark.anyio

GREEDY, NEIGHBOUR = 1, 2


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Connections:
    """A pool whose connections are never used."""

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Any]:
        yield None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock by which uses are measured."""
    clock = Clock()
    monkeypatch.setattr(shared_pool, "monotonic", clock)
    return clock


async def query(pool: SharedPool, organization_id: int, clock: Clock, seconds: float) -> None:
    """Use a connection for so long, while other tasks run."""
    async with pool.connection(organization_id):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.now += seconds


@pytest.mark.parametrize("has_neighbour", [True, False])
async def test_it_rests_only_while_a_neighbour_is_active(clock: Clock, *, has_neighbour: bool) -> None:
    pool = SharedPool(cast("Pool", Connections()), size=2, resource="test")
    await query(pool, NEIGHBOUR, clock, 0.001)
    await query(pool, GREEDY, clock, 0.001)
    clock.now += 0.0 if has_neighbour else 5.0
    first, second = (asyncio.create_task(query(pool, GREEDY, clock, 0.9)) for _ in range(2))
    await first
    assert pool.share.is_waiting(GREEDY) is has_neighbour
    assert pool.share.held(GREEDY) == 1
    assert pool.share.try_acquire(NEIGHBOUR)
    second.cancel()


async def test_a_request_that_finds_its_place_free_never_rests(clock: Clock) -> None:
    pool = SharedPool(cast("Pool", Connections()), size=2, resource="test")
    await query(pool, NEIGHBOUR, clock, 0.001)
    for _ in range(3):
        await query(pool, GREEDY, clock, 0.5)
        assert pool.share.held(GREEDY) == 0
