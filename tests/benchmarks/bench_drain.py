"""20,000 due callbacks of no call time, dialled by one worker process through the simulated network, with their full history.

The worker runs everything that `perezvon work` runs: views, policies, dispatcher, webhooks. Beside it procrastinate and
pgqueuer do as many jobs that do nothing, on the same server, each in a database of its own, in turn (A B C A B C …).
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

from infrastructure.postgres.connections import migrate
from tests.benchmarks import peers
from tests.benchmarks.callbacks import call_queue, dialling, number_in, views_are_up
from tests.benchmarks.support import Bench, progress, settings_of
from tests.support.waiting import eventually

CALLBACKS = 20_000
JOBS = {"procrastinate": 4_000, "pgqueuer": CALLBACKS}  # procrastinate's rate does not hang on how many there are
LIMIT = 10_000
ROUNDS = 3
_LEFT = b"SELECT EXISTS (SELECT FROM perezvon_1.timetable) OR EXISTS (SELECT FROM perezvon_1.open_calls)"
_PATIENCE = 300.0


def run(bench: Bench) -> dict[str, Any]:
    """Drain all three in turn; answer medians, spreads and the ratios to the peers."""
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
    """Fill a queue that is off, switch it on, and answer how long it took until the last call's end was on record."""
    migrate(dsn)
    async with call_queue(dsn, LIMIT) as queue:
        await queue.schedule([datetime.now(UTC)] * CALLBACKS)
        with dialling(dsn):
            await asyncio.to_thread(eventually, lambda: views_are_up(dsn), timeout=_PATIENCE)
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")  # as autovacuum leaves a table that has stood for a minute
            before = number_in(dsn, "SELECT max(notification_id) FROM perezvon_1.stored_events")
            began = time.perf_counter()
            await queue.switch_on()
            await asyncio.to_thread(wait_until_nothing_is_left, dsn)
            seconds = time.perf_counter() - began
            await asyncio.to_thread(eventually, lambda: views_are_up(dsn), timeout=_PATIENCE)
            shown = time.perf_counter() - began
    recorded = number_in(dsn, "SELECT max(notification_id) FROM perezvon_1.stored_events") - before
    ended = "SELECT count(*) FROM perezvon_1.stored_events WHERE topic = 'callback.call_ended.v1'"
    assert number_in(dsn, ended) == CALLBACKS
    return {"seconds": seconds, "seconds_with_views": shown, "events_per_callback": round(recorded / CALLBACKS, 2)}


def wait_until_nothing_is_left(dsn: str) -> None:
    """Ask over one connection: to make one each time would take a part of what is measured."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        eventually(lambda: connection.execute(_LEFT).fetchone() == (False,), timeout=_PATIENCE)


def peer(bench: Bench, name: str, jobs: int) -> float:
    """Answer how many jobs a second a peer's worker does, in a process of its own."""
    dsn = bench.database(f"drain_{name}")
    command = [sys.executable, "-m", "tests.benchmarks.peers", f"drain_{name}", dsn, str(jobs)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return jobs / float(json.loads(done.stdout)["seconds"])
