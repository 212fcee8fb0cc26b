"""Deliveries per second of one worker to receivers on this machine: all healthy, and with a black hole among them.

The worker and the receivers run in their own processes. Each message is signed and posted, the receiver responds, and the
outcome and the attempt are recorded. Both cases alternate (A B A B …). The rate is measured between the first twentieth
and the last twentieth of the deliveries to healthy receivers.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from statistics import median
from typing import Any

import psycopg
from psycopg import AsyncConnection

from infrastructure.postgres.connections import service_dsn
from infrastructure.postgres.migrations import migrate
from infrastructure.webhooks.outbox import enqueue
from tests.benchmarks.support import Bench, progress, settings_of
from tests.support.webhooks import message

MESSAGES = 20_000
HOSTS = 20
BLACK_HOLE_MESSAGES = 2_000
ROUNDS = 5
TIMEOUT_S = 120.0
BODY = b'{"id":"msg","type":"callback.finished.v1","data":"' + b"x" * 450 + b'"}'

_DELIVERED = (
    "SELECT extract(epoch FROM finished_at)::float8 FROM perezvon_1.webhook_deliveries"
    " WHERE state = 'delivered' ORDER BY finished_at"
)


def run(bench: Bench) -> dict[str, Any]:
    """Measure both alternately; return medians, spreads and the share of the rate that the black hole costs."""
    rounds: dict[str, list[float]] = {"healthy": [], "beside_black_hole": []}
    dsn = ""
    with receivers() as hosts:
        for turn in range(ROUNDS):
            for name, rates in rounds.items():
                dsn = bench.database(f"webhooks_{name}_{turn}")
                migrate(dsn)
                holes = BLACK_HOLE_MESSAGES if name == "beside_black_hole" else 0
                asyncio.run(fill(service_dsn(dsn), hosts, holes))
                rates.append(rate(dsn))
                progress(f"{name}: {rates[-1]:.0f}/s")
    medians = {name: round(median(rates)) for name, rates in rounds.items()}
    cost = 1 - medians["beside_black_hole"] / medians["healthy"]
    return {
        **medians,
        "black_hole_costs": round(cost, 3),
        "rounds_per_s": {name: [round(one) for one in rates] for name, rates in rounds.items()},
        "messages": MESSAGES,
        "hosts": HOSTS,
        "body_bytes": len(BODY),
        "server": settings_of(dsn),
        "goals": {"deliveries/s >= 2000": medians["healthy"], "black hole costs < 0.05": round(cost, 3)},
    }


@contextmanager
def receivers() -> Generator[list[str]]:
    """Start receivers and yield their hosts with ports; the last one is a black hole."""
    command = [sys.executable, "-m", "tests.benchmarks.webhook_receiver", str(HOSTS), "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().split()
        process.kill()


async def fill(dsn: str, hosts: list[str], holes: int) -> None:
    """Enqueue messages, each of its own callback; those for the black hole are spread evenly among the others."""
    every = MESSAGES // holes if holes else MESSAGES + 1
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        batch = []
        for number in range(MESSAGES):
            batch.append(_message(hosts[number % HOSTS], number))
            if number % every == 0:
                batch.append(_message(hosts[-1], MESSAGES + number))
            if len(batch) >= 1000:
                await enqueue(connection, batch)
                batch.clear()
        await enqueue(connection, batch)
        await connection.execute("ANALYZE")


def _message(host: str, number: int) -> Any:
    return message(f"http://{host}/after", callback_id=number, body=BODY)


def rate(dsn: str) -> float:
    """Run a worker until all messages to healthy receivers are delivered; return deliveries per second."""
    environment = {**os.environ, "PEREZVON_WEBHOOK_ALLOW_NETS": "127.0.0.0/8", "PEREZVON_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "tests.support.webhook_worker", service_dsn(dsn)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        try:
            times = _delivered(dsn)
        finally:
            worker.terminate()
    cut = MESSAGES // 20
    return (MESSAGES - 2 * cut) / (times[-cut - 1] - times[cut])


def _delivered(dsn: str) -> list[float]:
    deadline = time.monotonic() + TIMEOUT_S
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            times = [at for (at,) in connection.execute(_DELIVERED).fetchall()]
            if len(times) == MESSAGES:
                return times
            assert time.monotonic() < deadline, f"{len(times)} of {MESSAGES} delivered"
            time.sleep(1.0)
