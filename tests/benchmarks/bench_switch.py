"""Callbacks through a real Asterisk: how many a second with every outcome right, how late, and what they cost.

One worker process (everything that `perezvon work` runs), Asterisk, and SIPp as all phones: they answer, are busy, refuse
or do not answer in twenty ways, and keep the record of when each number was called. Each callback has one try. Paced: all
are due at once, and the rate is the setting of the switch. Even: they are due one after the other, which shows how late.
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

from infrastructure.postgres.connections import migrate
from tests.asterisk.real_switch import RealSwitch, real_switch
from tests.asterisk.tree import found
from tests.benchmarks.callbacks import call_queue, number_in, views_are_up
from tests.benchmarks.mixed_calls import Finished, Wanted, faults, outcomes_of, people, rung_of
from tests.benchmarks.processor import family_of_server, load
from tests.benchmarks.support import Bench, progress, settings_of, spread
from tests.chaos.processes import CLI, Process
from tests.support.running import alive
from tests.support.waiting import eventually

RATE = 40.0
SECONDS = 60
LIMIT = 10_000
_LEAD = timedelta(seconds=15)  # by then all are scheduled, and the worker leads
_PATIENCE_S = 120.0
_GOAL_PERCENT = 25
_EVEN_PARTS = 3  # of the time that the paced calls have, the even ones get one part
_NO_PACE = 1000.0
_FINISHED = "SELECT count(*) FROM perezvon_1.stored_events WHERE topic = 'callback.finished.v1'"
_LINKED = "SELECT count(*) FROM perezvon_1.gateway_leases WHERE link_up"


class AsteriskCrashed(Exception):
    """Asterisk runs no more, and nobody had ended it.

    22.10 has a race of its own at the end of calls, seen once in some 25,000 callbacks on two busy cores
    (https://github.com/asterisk/asterisk/issues/1985).
    """


class Dialling(msgspec.Struct, frozen=True):
    """The processes that dial, and the phones that are dialled."""

    worker: Process
    real: RealSwitch

    def finished(self, dsn: str) -> int:
        """Answer how many callbacks have finished. Raises AsteriskCrashed."""
        if not alive(self.real.asterisk.pid):
            raise AsteriskCrashed
        return number_in(dsn, _FINISHED)

    def pids(self, dsn: str) -> dict[str, Sequence[int]]:
        """Answer whose time is measured: a server's backends come and go, so they are asked for each time."""
        assert self.worker.pid
        return {
            "worker": [self.worker.pid],
            "asterisk": [self.real.asterisk.pid],
            "phones": [self.real.phones.pid],
            "postgres": family_of_server(dsn),
        }


def run(bench: Bench, seconds: int = SECONDS, rate: float = RATE) -> dict[str, Any]:
    """Have so many people called back a second; answer rates, outcomes, lateness and loads."""
    if (tree := found()) is None:
        sys.exit("there is no Asterisk: get it with ./run asterisk --fetch")
    measured: dict[str, Any] = {"wanted_per_s": rate}
    for name, pace, lasting in (("paced", rate, seconds), ("even", _NO_PACE, max(1, seconds // _EVEN_PARTS))):
        dsn = bench.database(f"switch_{name}")
        migrate(dsn)
        with real_switch(tree) as real, dialling(real, dsn, pace) as running:
            measured[name] = asyncio.run(measure(dsn, running, lasting, rate, together=name == "paced"))
        measured["server"] = settings_of(dsn)
    worker = measured["paced"]["percent_of_a_core"]["worker"]
    return measured | {"goals": {f"worker <= {_GOAL_PERCENT} % of a core at 40/s": worker}}


@contextmanager
def dialling(real: RealSwitch, dsn: str, pace: float = _NO_PACE) -> Generator[Dialling]:
    """Run a worker that dials through this switch, so many calls a second at most."""
    environment = real.asterisk.environment | {
        "PEREZVON_DATABASE_URL": dsn,
        "PEREZVON_CALLS_PER_SECOND": str(pace),
        "PEREZVON_CHANNELS": str(2 * LIMIT),
        "PEREZVON_LOG_LEVEL": "warning",
    }
    log = Path(tempfile.mkdtemp(prefix="perezvon-bench-log-")) / "worker.log"
    worker = Process(*CLI, "work", environment=environment, log=log)
    worker.start()
    try:
        eventually(lambda: number_in(dsn, _LINKED), timeout=_PATIENCE_S)
        yield Dialling(worker, real)
    finally:
        worker.end()


async def measure(dsn: str, running: Dialling, seconds: int, rate: float, *, together: bool) -> dict[str, Any]:
    """Schedule, wait for the last one's end, and compare."""
    async with call_queue(dsn, LIMIT) as queue:
        await queue.switch_on()
        begin = datetime.now(UTC) + _LEAD
        wanted = people(begin, round(seconds * rate), rate, together=together)
        await queue.put([one.callback for one in wanted])
        await asyncio.to_thread(eventually, lambda: views_are_up(dsn), timeout=_PATIENCE_S)
        assert datetime.now(UTC) < begin, "scheduling took longer than the lead"
        progress(f"{len(wanted)} callbacks are scheduled")
        await asyncio.sleep((begin - datetime.now(UTC)).total_seconds())
        loads = await load(lambda: running.pids(dsn), seconds)
        await asyncio.to_thread(eventually, lambda: running.finished(dsn) == len(wanted), timeout=_PATIENCE_S)
    late = {} if together else lateness(wanted, outcomes_of(dsn), rung_of(running.real.phones))
    return compared(wanted, outcomes_of(dsn), rung_of(running.real.phones)) | late | {"percent_of_a_core": loads}


def compared(
    wanted: Sequence[Wanted], outcomes: Mapping[str, Finished], rung: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Answer rate and outcomes."""
    wrong = faults(wanted, outcomes, rung)
    dialled = [rung[one.a][0] for one in wanted if one.a in rung]
    return {
        "callbacks": len(wanted),
        "dialled_per_s": round((len(dialled) - 1) / (max(dialled) - min(dialled)), 2),
        "outcomes": Counter(outcomes[one.a].comment.partition(" (")[0] for one in wanted),
        "wrong": len(wrong),
        "examples": wrong[:10],
    }


def lateness(
    wanted: Sequence[Wanted], outcomes: Mapping[str, Finished], rung: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Answer how late calls were dialled, and when A and B were joined."""
    late = [rung[one.a][0] - one.due.timestamp() for one in wanted if one.a in rung]
    joined = [(at - one.due).total_seconds() for one in wanted if (at := outcomes[one.a].joined_at) is not None]
    return {"due_to_dialled_ms": spread(late), "due_to_joined_ms": spread(joined)}
