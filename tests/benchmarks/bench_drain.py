"""20,000 due callbacks, dialled by one worker process through the simulated network, with their full history.

The calls take no time. The worker runs everything that `perezvon work` runs: views, policies, dispatcher, webhooks.
For comparison, procrastinate and pgqueuer run jobs that do nothing on the same server, each in its own database,
alternately (A B C A B C …).
"""

import asyncio
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from statistics import median
from typing import Any

import psycopg

from infrastructure.postgres.migrations import migrate
from tests.benchmarks import peers
from tests.benchmarks.callbacks import call_queue, dialling, number_in, views_are_up
from tests.benchmarks.support import Bench, progress, settings_of
from tests.support.waiting import eventually

CALLBACKS = 20_000
JOBS = {"procrastinate": 4_000, "pgqueuer": CALLBACKS}  # procrastinate's rate does not depend on the number of jobs
LIMIT = 10_000
ROUNDS = 3
_PENDING = b"SELECT EXISTS (SELECT FROM perezvon_1.timetable) OR EXISTS (SELECT FROM perezvon_1.open_calls)"
_TIMEOUT_S = 300.0


def run(bench: Bench) -> dict[str, Any]:
    """Drain all three alternately; return medians, spreads and the ratios to the peers."""
    rounds: dict[str, list[float]] = {"perezvon": [], "procrastinate": [], "pgqueuer": []}
    events, views = 0.0, list[float]()
    dsn = ""
    for turn in range(ROUNDS + 1):  # the first is the warm-up
        dsn = bench.database("drain_perezvon")
        ours = asyncio.run(drain(dsn))
        figures = {"perezvon": CALLBACKS / ours["seconds"]}
        figures |= {name: peer(bench, name, jobs) for name, jobs in JOBS.items()}
        progress(", ".join(f"{name}: {figure:.0f}/s" for name, figure in figures.items()))
        if turn:
            views.append(CALLBACKS / ours["seconds_with_views"])
            events = ours["events_per_callback"]
            for name, figure in figures.items():
                rounds[name].append(figure)
    medians = {name: round(median(figures), 1) for name, figures in rounds.items()}
    return {
        "callbacks": CALLBACKS,
        "events_per_callback": events,
        "per_s": medians,
        "perezvon_until_every_view_shows_it_per_s": round(median(views), 1),
        "rounds_per_s": {name: [round(figure) for figure in figures] for name, figures in rounds.items()},
        "peers": {"procrastinate": peers.PROCRASTINATE, "pgqueuer": peers.PGQUEUER, "jobs": JOBS},
        "server": settings_of(dsn),
        "goals": {
            "to procrastinate >= 4": round(medians["perezvon"] / medians["procrastinate"], 2),
            "to pgqueuer >= 1": round(medians["perezvon"] / medians["pgqueuer"], 2),
        },
    }


async def drain(dsn: str) -> dict[str, float]:
    """Fill a queue that is off, switch it on, and return the seconds until the end of the last call was recorded."""
    migrate(dsn)
    async with call_queue(dsn, LIMIT) as queue:
        await queue.schedule([datetime.now(UTC)] * CALLBACKS)
        with dialling(dsn):
            await asyncio.to_thread(eventually, lambda: views_are_up(dsn), timeout=_TIMEOUT_S)
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")  # the state in which autovacuum leaves a table within a minute
            before = number_in(dsn, "SELECT max(notification_id) FROM perezvon_1.stored_events")
            began = time.perf_counter()
            await queue.switch_on()
            await asyncio.to_thread(wait_until_drained, dsn)
            seconds = time.perf_counter() - began
            await asyncio.to_thread(eventually, lambda: views_are_up(dsn), timeout=_TIMEOUT_S)
            shown = time.perf_counter() - began
    recorded = number_in(dsn, "SELECT max(notification_id) FROM perezvon_1.stored_events") - before
    ended = "SELECT count(*) FROM perezvon_1.stored_events WHERE topic = 'callback.call_ended.v1'"
    assert number_in(dsn, ended) == CALLBACKS
    return {"seconds": seconds, "seconds_with_views": shown, "events_per_callback": round(recorded / CALLBACKS, 2)}


def wait_until_drained(dsn: str) -> None:
    """Poll over one connection: a connection for each query would consume part of the measured time."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        eventually(lambda: connection.execute(_PENDING).fetchone() == (False,), timeout=_TIMEOUT_S)


def peer(bench: Bench, name: str, jobs: int) -> float:
    """Return how many jobs per second a peer's worker completes, in its own process."""
    dsn = bench.database(f"drain_{name}")
    command = [sys.executable, "-m", "tests.benchmarks.peers", f"drain_{name}", dsn, str(jobs)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return jobs / float(json.loads(done.stdout)["seconds"])
