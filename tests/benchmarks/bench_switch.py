"""Callbacks through a real Asterisk: rate with correct outcomes, lateness, and CPU time.

One worker process (everything that `perezvon work` runs), Asterisk, and SIPp as all phones: they answer, are busy, refuse
or do not answer in twenty ways, and record when each number was called. Each callback has one try. Paced: all are due at
the same time, and the setting of the switch limits the rate. Even: they are due one after the other, which measures
lateness.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from infrastructure.postgres.connections import service_dsn
from infrastructure.postgres.migrations import migrate
from tests.asterisk.real_switch import RealSwitch, real_switch
from tests.asterisk.tree import found
from tests.benchmarks.callbacks import call_queue, number_in, views_are_up
from tests.benchmarks.mixed_calls import (
    ExpectedCallback,
    Result,
    expected_callbacks,
    mismatches,
    results_of,
    ring_times_of,
)
from tests.benchmarks.processor import cpu_percent, server_pids
from tests.benchmarks.support import Bench, progress, settings_of, spread
from tests.chaos.processes import CLI, Process
from tests.support.running import alive
from tests.support.secrets_key import ENVIRONMENT
from tests.support.waiting import eventually

RATE = 40.0
SECONDS = 60
LIMIT = 10_000
_LEAD = timedelta(seconds=15)  # by then all callbacks are scheduled, and the worker is the leader
_TIMEOUT_S = 120.0
_GOAL_PERCENT = 25
_EVEN_PARTS = 3  # the even calls get this fraction of the time of the paced calls
_NO_PACE = 1000.0
_FINISHED = "SELECT count(*) FROM perezvon_1.stored_events WHERE topic = 'callback.finished.v1'"
_LINKED = "SELECT count(*) FROM perezvon_1.gateway_leases WHERE link_up"


class AsteriskCrashed(Exception):
    """The Asterisk process ended on its own.

    Asterisk 22.10 has a race at the end of calls, seen once in about 25,000 callbacks on two busy cores
    (https://github.com/asterisk/asterisk/issues/1985).
    """


class Dialling(msgspec.Struct, frozen=True):
    """The processes that dial, and the phones that are dialled."""

    worker: Process
    real: RealSwitch

    def finished(self, dsn: str) -> int:
        """Return how many callbacks have finished. Raises AsteriskCrashed."""
        if not alive(self.real.asterisk.pid):
            raise AsteriskCrashed
        return number_in(dsn, _FINISHED)

    def pids(self, dsn: str) -> dict[str, Sequence[int]]:
        """Return the processes to measure. The list is new each time, because backends of Postgres start and end."""
        assert self.worker.pid
        return {
            "worker": [self.worker.pid],
            "asterisk": [self.real.asterisk.pid],
            "phones": [self.real.phones.pid],
            "postgres": server_pids(dsn),
        }


def run(bench: Bench, seconds: int = SECONDS, rate: float = RATE) -> dict[str, Any]:
    """Run ``rate`` callbacks a second for ``seconds``; return rates, outcomes, lateness and CPU time."""
    if (tree := found()) is None:
        sys.exit("Asterisk is not available; download it with: ./run asterisk --fetch")
    measured: dict[str, Any] = {"wanted_per_s": rate}
    for name, pace, duration_s in (("paced", rate, seconds), ("even", _NO_PACE, max(1, seconds // _EVEN_PARTS))):
        dsn = bench.database(f"switch_{name}")
        migrate(dsn)
        with real_switch(tree) as real, dialling(real, dsn, pace) as running:
            measured[name] = asyncio.run(measure(dsn, running, duration_s, rate, together=name == "paced"))
        measured["server"] = settings_of(dsn)
    worker = measured["paced"]["percent_of_a_core"]["worker"]
    return measured | {"goals": {f"worker <= {_GOAL_PERCENT} % of a core at 40/s": worker}}


@contextmanager
def dialling(real: RealSwitch, dsn: str, pace: float = _NO_PACE) -> Generator[Dialling]:
    """Run a worker that dials through this switch, at most ``pace`` calls a second."""
    environment = real.asterisk.environment | {
        **ENVIRONMENT,
        "PEREZVON_DATABASE_URL": service_dsn(dsn),
        "PEREZVON_CALLS_PER_SECOND": str(pace),
        "PEREZVON_CHANNELS": str(2 * LIMIT),
        "PEREZVON_LOG_LEVEL": "warning",
    }
    log = Path(tempfile.mkdtemp(prefix="perezvon-bench-log-")) / "worker.log"
    worker = Process(*CLI, "work", environment=environment, log=log)
    worker.start()
    try:
        eventually(lambda: number_in(dsn, _LINKED), timeout=_TIMEOUT_S)
        yield Dialling(worker, real)
    finally:
        worker.end()


async def measure(dsn: str, running: Dialling, seconds: int, rate: float, *, together: bool) -> dict[str, Any]:
    """Schedule callbacks, wait until the last one has finished, and compare the results."""
    async with call_queue(dsn, LIMIT) as queue:
        await queue.switch_on()
        begin = datetime.now(UTC) + _LEAD
        expected = expected_callbacks(begin, round(seconds * rate), rate, together=together)
        await queue.put([one.callback for one in expected])
        await asyncio.to_thread(eventually, lambda: views_are_up(dsn), timeout=_TIMEOUT_S)
        assert datetime.now(UTC) < begin, "scheduling took longer than the lead"
        progress(f"{len(expected)} callbacks are scheduled")
        await asyncio.sleep((begin - datetime.now(UTC)).total_seconds())
        cpu = await cpu_percent(lambda: running.pids(dsn), seconds)
        await asyncio.to_thread(eventually, lambda: running.finished(dsn) == len(expected), timeout=_TIMEOUT_S)
    late = {} if together else lateness(expected, results_of(dsn), ring_times_of(running.real.phones))
    return compared(expected, results_of(dsn), ring_times_of(running.real.phones)) | late | {"percent_of_a_core": cpu}


def compared(
    expected: Sequence[ExpectedCallback], results: Mapping[str, Result], ring_times: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Return the rate of dialling, the outcomes, and the mismatches."""
    wrong = mismatches(expected, results, ring_times)
    dialled = [ring_times[one.a][0] for one in expected if one.a in ring_times]
    return {
        "callbacks": len(expected),
        "dialled_per_s": round((len(dialled) - 1) / (max(dialled) - min(dialled)), 2),
        "outcomes": Counter(results[one.a].comment.partition(" (")[0] for one in expected),
        "wrong": len(wrong),
        "examples": wrong[:10],
    }


def lateness(
    expected: Sequence[ExpectedCallback], results: Mapping[str, Result], ring_times: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Return percentiles of the time from the due time to dialling, and to the joining of A and B."""
    late = [ring_times[one.a][0] - one.due.timestamp() for one in expected if one.a in ring_times]
    joined = [(at - one.due).total_seconds() for one in expected if (at := results[one.a].joined_at) is not None]
    return {"due_to_dialled_ms": spread(late), "due_to_joined_ms": spread(joined)}
