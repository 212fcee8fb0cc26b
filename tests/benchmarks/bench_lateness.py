"""Callbacks due at random times: how late each attempt is recorded, and how late the phone network dials it.

One worker process runs everything that `perezvon work` runs, with the simulated network. Afterwards, on the same server,
procrastinate's worker runs jobs that do nothing, scheduled in the same way. Every job counts, including the first ones.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from application.ports.call_gateway import Ended
from infrastructure.gateways.simulated.client import SimulatedGateway
from infrastructure.postgres.migrations import migrate
from tests.benchmarks import peers
from tests.benchmarks.callbacks import call_queue, dialling, number_in, views_are_up
from tests.benchmarks.support import Bench, progress, random_times, settings_of, spread
from tests.support.waiting import eventually

PER_SECOND = 200
SECONDS = 60
LIMIT = 10_000
_LEAD = timedelta(seconds=25)  # by then all callbacks are scheduled, and the worker is the leader
_FIND_BATCH = 1000
_TIMEOUT_S = 60.0
_GOAL_MS = 50
_RECORDED = (
    "SELECT started.data->>'call_id', started.recorded_at, (scheduled.data->>'start_time')::timestamptz"
    " FROM (SELECT originator_id, recorded_at, convert_from(state, 'UTF8')::jsonb AS data FROM perezvon_1.stored_events"
    " WHERE topic = 'callback.attempt_started.v1') AS started"
    " JOIN (SELECT originator_id, convert_from(state, 'UTF8')::jsonb AS data FROM perezvon_1.stored_events"
    " WHERE topic = 'callback.scheduled.v1') AS scheduled USING (originator_id)"
)
_ENDED = "SELECT count(*) FROM perezvon_1.stored_events WHERE topic = 'callback.call_ended.v1'"


def run(bench: Bench, seconds: int = SECONDS) -> dict[str, Any]:
    """Measure ours, then the peer; return the percentiles of lateness in milliseconds."""
    jobs = PER_SECOND * seconds
    dsn = bench.database("lateness_perezvon")
    migrate(dsn)
    recorded, dialled = asyncio.run(dial(dsn, jobs, seconds))
    progress(f"perezvon: {spread(dialled)}")
    peer = procrastinate(bench.database("lateness_procrastinate"), jobs, seconds)
    progress(f"procrastinate: {spread(peer)}")
    figures = {"recorded": spread(recorded), "dialled": spread(dialled), "procrastinate": spread(peer)}
    return {
        "jobs": jobs,
        "per_s": PER_SECOND,
        "late_ms": figures,
        "peers": {"procrastinate": peers.PROCRASTINATE | peers.SCHEDULED},
        "server": settings_of(dsn),
        "goals": {
            f"p99 <= {_GOAL_MS} ms": figures["dialled"]["p99"],
            "procrastinate's p99 to ours > 1": round(figures["procrastinate"]["p99"] / figures["dialled"]["p99"], 1),
        },
    }


async def dial(dsn: str, jobs: int, seconds: float) -> tuple[list[float], list[float]]:
    """Return, in seconds, how late each attempt was recorded, and how late the network dialled it."""
    async with call_queue(dsn, LIMIT) as queue:
        await queue.switch_on()
        with dialling(dsn) as exchange:
            begin = datetime.now(UTC) + _LEAD
            await queue.schedule(random_times(begin, seconds, jobs))
            await asyncio.to_thread(eventually, lambda: views_are_up(dsn), timeout=_TIMEOUT_S)
            assert datetime.now(UTC) < begin, "scheduling took longer than the lead"
            await asyncio.sleep((begin - datetime.now(UTC)).total_seconds() + seconds)
            await asyncio.to_thread(eventually, lambda: number_in(dsn, _ENDED) == jobs, timeout=_TIMEOUT_S)
            with psycopg.connect(dsn) as connection:
                rows: list[tuple[str, datetime, datetime]] = connection.execute(_RECORDED.encode()).fetchall()
            dialled_at = await dial_times(exchange.address, [call_id for call_id, _, _ in rows])
    assert len(rows) == jobs
    recorded = [(at - due).total_seconds() for _, at, due in rows]
    return recorded, [(at - due).total_seconds() for at, (_, _, due) in zip(dialled_at, rows, strict=True)]


async def dial_times(address: str, call_ids: Sequence[str]) -> list[datetime]:
    """Return when the network dialled each call. Its calls take no time, so that is when they ended."""
    times: list[datetime] = []
    async with SimulatedGateway(address) as gateway:
        await anext(aiter(gateway.events()))  # the link is up
        for first in range(0, len(call_ids), _FIND_BATCH):
            for found in await gateway.find(call_ids[first : first + _FIND_BATCH]):
                assert isinstance(found, Ended)
                times.append(found.at)
    return times


def procrastinate(dsn: str, jobs: int, seconds: int) -> list[float]:
    """Return, in seconds, how late each scheduled job of the peer began."""
    command = [sys.executable, "-m", "tests.benchmarks.peers", "late_procrastinate", dsn, str(jobs), str(seconds)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return json.loads(done.stdout)["late"]
