"""Callbacks that wait in deleted queues are cancelled in small batches; organisations are served round-robin."""

from collections.abc import AsyncIterator

import pytest

from infrastructure.dispatch import deleted_queue_sweeper
from infrastructure.dispatch.deleted_queue_sweeper import DeletedQueueSweeper
from tests.support.dispatching import ANSWERS, Exchange, open_exchange

pytestmark = pytest.mark.anyio


@pytest.fixture
async def exchange(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Exchange]:
    monkeypatch.setattr(deleted_queue_sweeper, "BATCH_MAX", 2)
    async with open_exchange(database) as opened:
        yield opened


async def deleted_queue(exchange: Exchange, organization_id: int, callbacks: int) -> list[int]:
    """Delete a queue in which callbacks wait; return their ids."""
    queue = await exchange.queue(organization_id=organization_id)
    ids = await exchange.callbacks(queue, [ANSWERS] * callbacks, organization_id=organization_id)
    await exchange.do("UPDATE perezvon_1.queue_slots SET is_deleted = true WHERE queue_id = %s", queue)
    return ids


async def waiting(exchange: Exchange) -> set[int]:
    return {one for (one,) in await exchange.rows("SELECT callback_id FROM perezvon_1.timetable")}


async def test_a_long_queue_of_one_organisation_does_not_delay_those_of_the_others(exchange: Exchange) -> None:
    many = [await deleted_queue(exchange, 1, 6) for _ in range(2)]
    few = await deleted_queue(exchange, 2, 2)
    async with exchange.leading() as term:
        sweeper = DeletedQueueSweeper(term)
        assert await sweeper.sweep()
        assert await sweeper.sweep()
        assert await waiting(exchange) == {one for ids in many for one in ids} - set(many[0][:2])
        while await sweeper.sweep():
            pass
    assert await waiting(exchange) == set()
    assert [await exchange.tags(one) for one in few] == [["scheduled", "cancelled"]] * 2


async def test_what_cannot_be_read_is_left_and_delays_nothing_else(exchange: Exchange) -> None:
    (unreadable,) = await deleted_queue(exchange, 1, 1)
    await exchange.append_unreadable(unreadable, version=2)
    for organization_id in (1, 2):
        await deleted_queue(exchange, organization_id, 3)
    async with exchange.leading() as term:
        sweeper = DeletedQueueSweeper(term)
        for _ in range(30):
            await sweeper.sweep()
    assert await waiting(exchange) == {unreadable}
