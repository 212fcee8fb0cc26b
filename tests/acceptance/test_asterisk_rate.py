"""Forty callbacks a second through a real Asterisk: the short form of `./run bench switch`."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.asterisk.real_switch import RealSwitch
from tests.benchmarks.bench_switch import LIMIT, RATE, dialling
from tests.benchmarks.callbacks import call_queue
from tests.benchmarks.mixed_calls import WAYS, faults, outcomes_of, people, rung_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SECONDS = 10
LEAD = timedelta(seconds=3)


async def test_forty_callbacks_a_second_of_all_kinds_are_dialled_once_each_and_come_to_the_right_end(
    asterisk: RealSwitch, database: str
) -> None:
    ways = [way for way in WAYS if (way.a, way.b) != ("10", "30")]  # it rings for half a minute
    wanted = people(datetime.now(UTC) + LEAD, round(SECONDS * RATE), RATE, ways)
    with dialling(asterisk, database) as running:
        async with call_queue(database, LIMIT) as queue:
            await queue.switch_on()
            await queue.put([one.callback for one in wanted])
        await asyncio.to_thread(eventually, lambda: running.finished(database) == len(wanted), timeout=60)
    assert faults(wanted, outcomes_of(database), rung_of(asterisk.phones)) == []
