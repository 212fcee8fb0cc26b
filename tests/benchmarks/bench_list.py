"""`GET /api/tasks` with ten thousand and with a million tasks: p50 and p99 of four kinds of page, over HTTP.

Each database is served by its own process. They are requested alternately, so that a slow phase of the machine affects
both.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter
from typing import Any
from urllib.parse import quote

import psycopg

from infrastructure.postgres.migrations import migrate
from tests.benchmarks.serving import Tenant, make_tenant, serving
from tests.benchmarks.support import Bench, percentile, progress, settings_of
from tests.support.http_client import Connection

SIZES = {"10k": 10_000, "1m": 1_000_000}
ROUNDS = 400
WARM_UP = 20
MATCHES = 50
PAGES = {
    "first page": "",
    "filtered page": "?status=in_progress&priority=high",
    f"search, {MATCHES} matches": f"?search={quote('виолончел')}",
    "page 400": "?page=400",
}

# MATCHES tasks contain the word that is searched; statuses, types and priorities are unevenly distributed.
FILL = """
INSERT INTO perezvon_1.task_list (id, organization_id, version, attempt, operator_number, status, task_type, priority,
    title, title_folded, description, caller_phone, caller_name, created_at, updated_at, assigned_user_id)
SELECT '01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'), %(organization)s, 1, 1, 1,
    (ARRAY['pending','pending','pending','in_progress','completed','completed','completed','completed','failed','cancelled'])[1 + n %% 10],
    (ARRAY['other','callback','appeal','complaint','consultation','order','other'])[1 + (n / 10) %% 7],
    (ARRAY['normal','normal','normal','low','high','urgent'])[1 + (n / 70) %% 6],
    title, lower(title),
    'Клиент просит перезвонить после шести вечера.', '+7701' || lpad((n %% 200000)::text, 7, '0'), 'Клиент ' || n,
    timestamptz '2026-01-01' + n * interval '10 seconds', timestamptz '2026-01-01' + n * interval '11 seconds', %(member)s
FROM generate_series(1, %(size)s) n, LATERAL (SELECT
    (ARRAY['Перезвонить клиенту','Уточнить адрес доставки','Вернуть деньги за заказ','Call back about the invoice',
           'Жалоба на курьера','Подобрать тариф','Не пришла посылка','Сверить договор'])[1 + (n / 3) %% 8]
        || CASE WHEN n %% (%(size)s / %(matches)s) = 0 THEN ' на виолончель' ELSE '' END || ' № ' || n AS title) AS t
"""
COUNT = """
INSERT INTO perezvon_1.task_counts (organization_id, assigned_user_id, status, task_type, priority, count)
SELECT organization_id, who, status, task_type, priority, count(*)
FROM perezvon_1.task_list, LATERAL (VALUES (''), (assigned_user_id)) AS w (who) GROUP BY 1, 2, 3, 4, 5
"""


def filled_task(number: int) -> str:
    """Return the id of a task of ``FILL``; numbers begin at 1 with the oldest."""
    return f"01900000-0000-7000-8000-{number:012x}"


def run(bench: Bench) -> dict[str, Any]:
    """Fill both databases and measure; return milliseconds by page and size, and the ratios of the p99s."""
    with filled(bench, "10k") as small, filled(bench, "1m") as large:
        times = asyncio.run(measure({"10k": small, "1m": large}))
        settings = settings_of(small.dsn)
    pages: dict[str, dict[str, Any]] = {page: {size: figures(times[page, size]) for size in SIZES} for page in PAGES}
    for found in pages.values():
        found["p99_ratio"] = round(found["1m"]["p99_ms"] / found["10k"]["p99_ms"], 2)
    worst = max(found["p99_ratio"] for found in pages.values())
    return {"pages": pages, "rounds": ROUNDS, "server": settings, "goals": {"p99 at 1m <= 2x that at 10k": worst}}


def figures(seconds: list[float]) -> dict[str, float]:
    """Return p50 and p99 in milliseconds."""
    return {f"p{q}_ms": round(percentile(seconds, q) * 1000, 2) for q in (50, 99)}


async def measure(tenants: dict[str, Tenant]) -> dict[tuple[str, str], list[float]]:
    """Return the seconds that each request took, by page and size."""
    connections = {size: Connection(tenant.port) for size, tenant in tenants.items()}
    times: dict[tuple[str, str], list[float]] = {(page, size): [] for page in PAGES for size in SIZES}
    for turn in range(-WARM_UP, ROUNDS):
        for page, query in PAGES.items():
            for size, connection in connections.items():
                began = perf_counter()
                response = await connection.request("GET", f"/api/tasks{query}", authorization=tenants[size].bearer)
                if turn >= 0:
                    times[page, size].append(perf_counter() - began)
                check(page, size, response.json())
    return times


def check(page: str, size: str, response: dict[str, Any]) -> None:
    """Check the content: a fast but wrong response must not count."""
    expected = MATCHES * 9 // 10 if "search" in page else None
    assert response["items"], (page, size)
    assert len(response["items"]) <= 20, (page, size)
    assert expected is None or abs(response["total"] - expected) <= MATCHES // 5, (page, size, response["total"])


@contextmanager
def filled(bench: Bench, size: str) -> Generator[Tenant]:
    """Serve a database with ``SIZES[size]`` tasks of one organisation."""
    progress(f"filling {size}")
    dsn = bench.database(f"list_{size}")
    migrate(dsn)
    tenant = make_tenant(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        values = {"organization": tenant.organization, "member": tenant.member, "size": SIZES[size], "matches": MATCHES}
        connection.execute(FILL, values)
        connection.execute(COUNT)
        connection.execute("VACUUM ANALYZE perezvon_1.task_list")
        connection.execute("VACUUM ANALYZE perezvon_1.task_counts")
        connection.execute("INSERT INTO perezvon_1.checkpoints (name, position) VALUES ('task_list', 1000000)")
    with serving(tenant):
        yield tenant
