"""Callbacks that no longer wait for a line go back to the timetable in small batches."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from infrastructure.dispatch import line_wait_release
from infrastructure.dispatch.line_wait_release import LineWaitRelease
from tests.support.dispatching import ANSWERS, Exchange, open_exchange
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio


@pytest.fixture
async def exchange(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Exchange]:
    monkeypatch.setattr(line_wait_release, "BATCH_MAX", 2)
    async with open_exchange(database) as opened:
        yield opened


async def set_apart(exchange: Exchange, queue_id: int, line: str = "a_line") -> None:
    """Set the queue's callbacks apart, with the same due time, and mark the queue."""
    await exchange.do(
        "WITH moved AS (DELETE FROM perezvon_1.timetable WHERE queue_id = %s RETURNING *)"
        " INSERT INTO perezvon_1.line_waits"
        " SELECT callback_id, queue_id, organization_id, now() - interval '1 minute', position, 7, 8,"
        f" CASE '{line}' WHEN 'a_line' THEN 7 ELSE 8 END FROM moved",
        queue_id,
    )
    await exchange.do(
        "UPDATE perezvon_1.queue_slots SET next_due_at = 'infinity', freed_due_at = '-infinity' WHERE queue_id = %s",
        queue_id,
    )


async def left(exchange: Exchange) -> list[int]:
    """Return the callbacks that are still set apart."""
    rows = await exchange.rows("SELECT callback_id FROM perezvon_1.line_waits ORDER BY callback_id")
    return [callback_id for (callback_id,) in rows]


async def in_timetable(exchange: Exchange) -> list[int]:
    rows = await exchange.rows("SELECT callback_id FROM perezvon_1.timetable ORDER BY callback_id")
    return [callback_id for (callback_id,) in rows]


async def test_an_organisation_with_many_marked_queues_has_one_turn(exchange: Exchange) -> None:
    queues = [await exchange.queue(organization_id=1) for _ in range(3)] + [await exchange.queue(organization_id=2)]
    *_, last = [await exchange.callbacks(queue, [ANSWERS] * 2) for queue in queues]
    for queue in queues:
        await set_apart(exchange, queue)
    async with exchange.leading() as term:
        release = LineWaitRelease(term)
        assert await release.release()
        assert await release.release()
    assert set(last) <= set(await in_timetable(exchange))


async def test_queues_take_turns_and_a_batch_is_small(exchange: Exchange) -> None:
    queues = [await exchange.queue(), await exchange.queue(organization_id=2)]
    first, second = [await exchange.callbacks(queue, [ANSWERS] * 5) for queue in queues]
    for queue in queues:
        await set_apart(exchange, queue)
    async with exchange.leading() as term:
        release, sizes = LineWaitRelease(term), list[int]()
        assert await release.release()
        assert await in_timetable(exchange) == sorted(first)[:2]
        assert await release.release()
        assert await in_timetable(exchange) == sorted([*sorted(first)[:2], *sorted(second)[:2]])
        assert await exchange.rows("SELECT FROM perezvon_1.queue_slots WHERE next_due_at > now()") == []
        while await release.release():
            sizes.append(len(await left(exchange)))
    assert sizes[-1] == 0
    assert max(before - after for before, after in pairwise(sizes)) <= 2
    assert await in_timetable(exchange) == sorted([*first, *second])
    assert await exchange.rows("SELECT FROM perezvon_1.queue_slots WHERE freed_due_at IS NOT NULL") == []


async def test_what_waits_for_the_line_that_the_rules_name_stays(exchange: Exchange) -> None:
    queue = await exchange.queue()
    stays = await exchange.callbacks(queue, [ANSWERS] * 3)
    await set_apart(exchange, queue, "b_line")
    goes = await exchange.callbacks(queue, [ANSWERS] * 3)
    await set_apart(exchange, queue, "a_line")
    await exchange.do("UPDATE perezvon_1.queue_slots SET client_leg = 'b'")
    async with exchange.leading() as term:
        release = LineWaitRelease(term)
        while await release.release():
            pass
    assert await left(exchange) == sorted(stays)
    assert await in_timetable(exchange) == sorted(goes)


async def test_a_callback_that_another_transaction_takes_back_is_waited_for_by_nobody(exchange: Exchange) -> None:
    queue = await exchange.queue()
    taken, *goes = sorted(await exchange.callbacks(queue, [ANSWERS] * 3))
    await set_apart(exchange, queue)
    async with exchange.owner.transaction():
        await exchange.do("DELETE FROM perezvon_1.line_waits WHERE callback_id = %s", taken)
        async with exchange.leading() as term:
            release = LineWaitRelease(term)
            while await release.release():
                pass
        assert await in_timetable(exchange) == goes


async def test_callbacks_of_a_deleted_queue_that_waited_for_a_line_are_cancelled(exchange: Exchange) -> None:
    queue = await exchange.queue()
    waiting = await exchange.callbacks(queue, [ANSWERS] * 5)
    await set_apart(exchange, queue)
    await exchange.do("UPDATE perezvon_1.queue_slots SET client_leg = 'a', is_deleted = true")
    exchange.dispatch()

    async def cancelled() -> bool:
        return [await exchange.tags(one) for one in waiting] == [["scheduled", "cancelled"]] * 5

    await eventually_async(cancelled, timeout=30)
