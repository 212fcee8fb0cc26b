"""Requests per second: `POST /api/tasks`, recorded durably, and a no-op POST of the same body in the same process."""

import asyncio
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import msgspec

from infrastructure.postgres.migrations import migrate
from tests.benchmarks.bench_append import DESCRIPTION, TITLE
from tests.benchmarks.serving import make_tenant, serving
from tests.benchmarks.support import Bench, commits, percentile, progress, settings_of
from tests.support.http_client import Connection

CONNECTIONS = 64
SECONDS = 5.0
ROUNDS = 5
PATHS = {"durable": "/api/tasks", "noop": "/noop"}


def run(bench: Bench) -> dict[str, Any]:
    """Request both alternately (A B A B …); return medians, spreads and their ratio."""
    dsn = bench.database("http")
    migrate(dsn)
    tenant = make_tenant(dsn)
    body = msgspec.json.encode({"operator_id": tenant.operator, "title": TITLE, "description": DESCRIPTION})
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in PATHS}
    with serving(tenant, "-m", "tests.benchmarks.noop_server"):
        for turn in range(ROUNDS + 1):  # the first is the warm-up
            for name, path in PATHS.items():
                before = commits(dsn)
                found = asyncio.run(ask(lambda: Connection(tenant.port), path, body))
                found["commits_per_request"] = (commits(dsn) - before) / found["requests"]
                progress(f"{name}: {found['per_s']:.0f}/s")
                if turn:
                    rounds[name].append(found)
    medians = {
        name: {key: round(median(one[key] for one in runs), 3) for key in runs[0]} for name, runs in rounds.items()
    }
    spread = {name: [round(one["per_s"]) for one in runs] for name, runs in rounds.items()}
    ratio = round(medians["durable"]["per_s"] / medians["noop"]["per_s"], 3)
    goals = {"durable to no-op >= 0.6": ratio}
    return {**medians, "rounds_per_s": spread, "connections": CONNECTIONS, "server": settings_of(dsn), "goals": goals}


async def ask(connect: Callable[[], Connection], path: str, body: bytes) -> dict[str, float]:
    """Post over all connections for ``SECONDS``; return the rate and percentiles of the response times."""
    times: list[float] = []
    stop = perf_counter() + SECONDS

    async def client() -> None:
        connection = connect()
        while (began := perf_counter()) < stop:
            response = await connection.request("POST", path, body)
            assert response.status == 200, response
            times.append(perf_counter() - began)
        connection.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    milliseconds = {f"p{q}_ms": percentile(times, q) * 1000 for q in (50, 99)}
    return {"per_s": len(times) / SECONDS, "requests": len(times), **milliseconds}
