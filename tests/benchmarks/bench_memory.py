"""Resident memory of the processes while 100,000 callbacks wait and 1,000 calls run.

All callbacks are scheduled over HTTP, 10,000 in a request. One worker runs everything that `perezvon work` runs.
"""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx

from infrastructure.gateways.simulated.control import Control
from infrastructure.postgres.migrations import migrate
from tests.benchmarks.bench_bulk import QUEUES, callback
from tests.benchmarks.callbacks import ANSWERS, dialling, number_in, views_are_up
from tests.benchmarks.serving import Tenant, make_tenant, serving
from tests.benchmarks.support import Bench, progress, settings_of
from tests.chaos.processes import Process
from tests.support.waiting import eventually

WAITING = 100_000
RUNNING = 1_000
AT_ONCE = 10_000
_SPEED = "0.4"  # calls of 35 s, so that all of them run at the same time
_DAY_S = 86_400
_TIMEOUT_S = 300.0
_JOINED = "SELECT count(*) FROM perezvon_1.stored_events WHERE topic = 'callback.attempt_succeeded.v1'"
_WAITING = "SELECT count(*) FROM perezvon_1.timetable"


def run(bench: Bench) -> dict[str, Any]:
    """Return megabytes: with an empty database, with waiting callbacks, with running calls too, and the peak."""
    dsn = bench.database("memory")
    migrate(dsn)
    tenant = make_tenant(dsn)
    with dialling(dsn, speed=_SPEED) as exchange, serving(tenant) as api:
        processes = {"worker": exchange.worker, "api": api, "simulator": exchange.simulator}
        eventually(lambda: views_are_up(dsn), timeout=_TIMEOUT_S)
        stages = {"at_first": resident(processes)}
        with client(tenant) as http:
            queue = make_queue(http)
            schedule(http, queue, WAITING, _DAY_S)
            eventually(lambda: number_in(dsn, _WAITING) == WAITING and views_are_up(dsn), timeout=_TIMEOUT_S)
            stages["waiting"] = resident(processes)
            progress(f"{WAITING} wait: {stages['waiting']}")
            schedule(http, queue, RUNNING, 0)
        eventually(lambda: number_in(dsn, _JOINED) == RUNNING and views_are_up(dsn), timeout=_TIMEOUT_S)
        stages["running"] = resident(processes)
        running = asyncio.run(calls_running(exchange.address))
        assert running == RUNNING, f"{running} calls were running"
        assert number_in(dsn, _WAITING) == WAITING
        stages["at_most"] = resident(processes, "VmHWM")
    return {
        "waiting": WAITING,
        "running": RUNNING,
        "resident_mb": stages,
        "server": settings_of(dsn),
        "goals": {"worker's MB < 300": stages["running"]["worker"], "at most": stages["at_most"]["worker"]},
    }


def resident(processes: dict[str, Process], field: str = "VmRSS") -> dict[str, float]:
    """Return the megabytes of each process; the field ``VmHWM`` is the peak."""
    return {name: _megabytes(Path(f"/proc/{process.pid}/status"), field) for name, process in processes.items()}


def _megabytes(status: Path, field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    assert found
    return round(int(found[1]) * 1024 / 1e6, 1)


def client(tenant: Tenant) -> httpx.Client:
    """Return a client of the tenant's API with the token of the admin."""
    url, headers = f"http://127.0.0.1:{tenant.port}{QUEUES}", {"Authorization": tenant.bearer}
    return httpx.Client(base_url=url, headers=headers, timeout=60)


def make_queue(http: httpx.Client) -> int:
    """Create a queue with a limit of ``RUNNING`` concurrent calls, and return its id."""
    made = http.post("", json={"name": "Bench", "status": "on", "concurrent_task_limit": RUNNING})
    return made.raise_for_status().json()["id"]


def schedule(http: httpx.Client, queue: int, callbacks: int, in_s: int) -> None:
    """Schedule callbacks, due in ``in_s`` seconds, to a number that answers."""
    due = {"a_number": ANSWERS, "b_number": "1001", "start_time_utc": in_s}
    for first in range(0, callbacks, AT_ONCE):
        tasks = [callback(n) | due for n in range(first, min(first + AT_ONCE, callbacks))]
        http.post(f"/{queue}/task", json={"tasks": tasks}).raise_for_status()


async def calls_running(address: str) -> int:
    """Return how many calls run in the network."""
    async with Control(address) as control:
        return (await control.counts()).running
