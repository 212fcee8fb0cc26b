"""Forty callbacks a second through a real Asterisk: for a minute in CI, else for 10 s, as `./run bench switch` does."""

import asyncio
import os
import warnings
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from tests.asterisk.real_switch import RealSwitch, real_switch
from tests.asterisk.tree import found
from tests.benchmarks.bench_switch import LIMIT, RATE, AsteriskCrashed, dialling
from tests.benchmarks.callbacks import call_queue
from tests.benchmarks.mixed_calls import BEHAVIOURS, expected_callbacks, mismatches, results_of, ring_times_of
from tests.conftest import UNTESTED
from tests.support.databases import DatabaseServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SECONDS = 60 if os.environ.get("CI") else 10
LEAD = timedelta(seconds=3)
CRASHES = 2


@pytest.mark.filterwarnings("always:Asterisk itself has crashed")
async def test_forty_callbacks_a_second_of_all_kinds_are_dialled_once_each_and_come_to_the_right_end(
    server: DatabaseServer, template: str
) -> None:
    if (tree := found()) is None:
        pytest.skip(UNTESTED)
    for crashes in count():
        name = f"{template}_rate_{crashes}"
        try:
            with real_switch(tree) as real:
                assert await mismatches_of_calls(real, server.create(name, template=template)) == []
        except AsteriskCrashed as crash:
            warnings.warn(f"Asterisk itself has crashed: {crash.__doc__}", stacklevel=1)
            assert crashes < CRASHES
        else:
            return
        finally:
            server.drop(name)


async def mismatches_of_calls(real: RealSwitch, dsn: str) -> list[str]:
    """Run callbacks, and describe those whose result differs from the expected one. Raises AsteriskCrashed."""
    # Phone 30 rings for half a minute.
    behaviours = [behaviour for behaviour in BEHAVIOURS if (behaviour.a, behaviour.b) != ("10", "30")]
    expected = expected_callbacks(datetime.now(UTC) + LEAD, round(SECONDS * RATE), RATE, behaviours)
    with dialling(real, dsn) as running:
        async with call_queue(dsn, LIMIT) as queue:
            await queue.switch_on()
            await queue.put([one.callback for one in expected])
        await asyncio.to_thread(eventually, lambda: running.finished(dsn) == len(expected), timeout=SECONDS + 60)
    return mismatches(expected, results_of(dsn), ring_times_of(real.phones))
