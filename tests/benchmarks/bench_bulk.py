"""Rows per second: one `POST` of 10,000 callbacks to a served API, and COPY of the same bytes into a bare table."""

import asyncio
from statistics import median
from time import perf_counter
from typing import Any

import msgspec
import psycopg

from infrastructure.postgres.migrations import migrate
from tests.benchmarks.serving import Tenant, make_tenant, serving
from tests.benchmarks.support import Bench, progress, settings_of
from tests.support.http_client import Connection

ROWS = 10_000
ROUNDS = 7
QUEUES = "/api/ver1.0/client/@me/task_scheduler"


def run(bench: Bench) -> dict[str, Any]:
    """Run both alternately (A B A B …).

    Returns:
        Medians, spreads, their ratio, and the longest response time of a concurrent request of another client.
    """
    dsn = bench.database("bulk")
    migrate(dsn)
    tenant = make_tenant(dsn)
    elements = [msgspec.json.encode(callback(n)) for n in range(ROWS)]
    body = b'{"tasks":[' + b",".join(elements) + b"]}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY, body bytea NOT NULL)")
    rounds: dict[str, list[float]] = {"post": [], "copy": [], "neighbour_longest_ms": []}
    with serving(tenant):
        queue = asyncio.run(make_queue(tenant))
        for turn in range(ROUNDS + 1):  # the first is the warm-up
            posted, waited = asyncio.run(post(tenant, queue, body))
            copied = copy(dsn, elements)
            progress(f"post: {ROWS / posted:.0f}/s, copy: {ROWS / copied:.0f}/s, neighbour: {waited * 1e3:.0f} ms")
            if turn:
                rounds["post"].append(ROWS / posted)
                rounds["copy"].append(ROWS / copied)
                rounds["neighbour_longest_ms"].append(waited * 1e3)
    medians = {name: round(median(figures), 1) for name, figures in rounds.items()}
    return {
        "rows": ROWS,
        "body_bytes": len(body),
        "post_rows_per_s": medians["post"],
        "copy_rows_per_s": medians["copy"],
        "neighbour_longest_ms": medians["neighbour_longest_ms"],
        "rounds": {name: [round(figure) for figure in figures] for name, figures in rounds.items()},
        "server": settings_of(dsn),
        "goals": {"rows/s >= 10000": medians["post"], "post to copy": round(medians["post"] / medians["copy"], 3)},
    }


def callback(number: int) -> dict[str, Any]:
    """Return a callback as a client sends it."""
    return {
        "name": f"Данияр Ахметов {number}",
        "a_number": "1001",
        "b_number": f"+7701{number:07}",
        "try_count": 3,
        "try_again_pause": "300",
        "url_success": "https://crm.example/callbacks/success",
        "url_after": f"https://crm.example/callbacks/after?order={number}",
        "start_time_utc": 3600,
    }


async def make_queue(tenant: Tenant) -> str:
    """Create a queue, and return its path."""
    connection = Connection(tenant.port)
    response = await connection.request("POST", QUEUES, b'{"name":"Bench"}', Authorization=tenant.bearer)
    assert response.status == 201, response
    return f"{QUEUES}/{response.json()['id']}"


async def post(tenant: Tenant, queue: str, body: bytes) -> tuple[float, float]:
    """Post the callbacks; return the seconds that it took, and the longest response time of a concurrent request."""
    connection, times = Connection(tenant.port), list[float]()
    neighbour = asyncio.create_task(poll_queue(Connection(tenant.port), queue, tenant.bearer, times))
    began = perf_counter()
    response = await connection.request("POST", f"{queue}/task", body, Authorization=tenant.bearer)
    took = perf_counter() - began
    assert response.status == 201, response
    assert len(msgspec.json.decode(response.body)) == ROWS
    neighbour.cancel()
    await asyncio.wait([neighbour])
    return took, max(times)


async def poll_queue(connection: Connection, queue: str, bearer: str, times: list[float]) -> None:
    """Request the queue repeatedly, 20 ms after each response, and append each response time to ``times``."""
    try:
        while True:
            began = perf_counter()
            response = await connection.request("GET", queue, Authorization=bearer)
            assert response.status == 200, response
            times.append(perf_counter() - began)
            await asyncio.sleep(0.02)
    finally:
        connection.close()


def copy(dsn: str, elements: list[bytes]) -> float:
    """Copy the same bytes into the bare table, durably; return the seconds that it took."""
    with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        began = perf_counter()
        with cursor.copy("COPY bare (body) FROM STDIN BINARY") as rows:
            rows.set_types(["bytea"])
            for element in elements:
                rows.write_row((element,))
        return perf_counter() - began
