"""The loop that hangs up calls: in which order."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from infrastructure.dispatch.hangup_loop import HangupLoop
from tests.support.dispatching import GATEWAY, Exchange, open_exchange

pytestmark = pytest.mark.anyio

QUIET = 65


@pytest.fixture
async def exchange(database: str) -> AsyncIterator[Exchange]:
    async with open_exchange(database) as opened:
        yield opened


async def test_organisations_take_turns_in_hanging_up(exchange: Exchange) -> None:
    await exchange.do(
        "INSERT INTO perezvon_1.open_calls (call_id, callback_id, queue_id, organization_id, attempt, position, gateway,"
        " fence, started_at, hang_up) SELECT gen_random_uuid(), n, 1, CASE n WHEN 600 THEN %s ELSE 1 END, 1, 1, %s, 1,"
        " timestamptz '2026-01-01' + n * interval '1 s', true FROM generate_series(1, 600) AS n",
        QUIET,
        GATEWAY,
    )
    query = "SELECT call_id::text FROM perezvon_1.open_calls WHERE organization_id = %s"
    ((quiet,),) = await exchange.rows(query, QUIET)
    cancelled, has_first_ones = list[str](), asyncio.Event()

    def cancel(call_id: str) -> bool:
        cancelled.append(call_id)
        if len(cancelled) == 2:  # one of each organisation
            has_first_ones.set()
        return True

    async with exchange.leading() as term:
        hanging_up = asyncio.create_task(HangupLoop(term, cancel).run())
        await asyncio.wait_for(has_first_ones.wait(), 10)
        hanging_up.cancel()
        await asyncio.wait([hanging_up])
    assert quiet in cancelled[:2]
