"""Cost that must not grow with history: changes of long streams, tokens ever issued, searches, the middle of a list."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any
from urllib.parse import quote

import msgspec
import psycopg

from domain.callback_queue.events import QueueCreated, QueueStatus, QueueSwitchedOff, QueueSwitchedOn
from domain.model import Envelope, Fact
from domain.organization.events import TokenIssued, TokenRevoked
from domain.permissions import Role
from domain.streams import organization_stream, queue_stream, task_stream
from domain.task.events import TaskPutBack, TaskStarted
from infrastructure.postgres.connections import service_dsn
from infrastructure.postgres.migrations import migrate
from infrastructure.read_models.task_list.grams import title_grams
from interfaces.bootstrap.services import Services, services
from tests.benchmarks.bench_list import COUNT, FILL, filled_task
from tests.benchmarks.growth_rows import growth_row
from tests.benchmarks.serving import Tenant, make_tenant, serving
from tests.benchmarks.support import Bench, percentile, progress
from tests.support.histories import filed
from tests.support.http_client import Connection

EVENTS = (10, 20_000)
TOKENS = (1_000, 16_000)
TASKS = (10_000, 300_000)
ROUNDS = 150
WARM_UP = 150  # more than the events between two snapshots
_CHUNK = 2_000

Call = Callable[[Connection, int], Awaitable[Any]]


def streams(bench: Bench) -> dict[str, Any]:
    """Return the p50 of a change of a task, and of scheduling in a queue, by the events in their streams."""
    dsn = bench.database("growth_streams")
    migrate(dsn)
    tenant = make_tenant(dsn)
    asyncio.run(_fill_streams(tenant))

    def change(events: int) -> Call:
        return lambda http, turn: _send(
            http, tenant, "PUT", f"/api/tasks/{_task(events)}/appeal", {"appeal_id": f"A-{events}-{turn}"}
        )

    def schedule(events: int) -> Call:
        path = f"/client/@me/task_scheduler/{_queue(events)}/task"
        task = {"a_number": "1001", "b_number": "+77012345678", "start_time_utc": 86_400}
        return lambda http, _: _send(http, tenant, "POST", path, {"tasks": [task]})

    with serving(tenant):
        rows = {"change of a task": change, "POST of a callback": schedule}
        return {name: asyncio.run(_measure(tenant, {n: call(n) for n in EVENTS})) for name, call in rows.items()}


def tokens(bench: Bench) -> dict[str, Any]:
    """Return the p50 of issuing a token, by the number of tokens that were issued and revoked before."""
    found: dict[int, float] = {}
    for count in TOKENS:
        progress(f"{count} tokens")
        dsn = bench.database(f"growth_tokens_{count}")
        migrate(dsn)
        tenant = make_tenant(dsn)
        asyncio.run(_fill_tokens(tenant, count))
        with serving(tenant):
            call: Call = lambda http, _, on=tenant: _send(http, on, "POST", "/v1/tokens", {"role": "agent"})  # noqa: E731 - typed by Call
            found |= asyncio.run(_medians(tenant, {count: call}))
    return {"issue of a token": _row(found)}


def searches(bench: Bench) -> dict[str, Any]:
    """Return the p50 of a page in the middle of the list, and of searches for letters that few titles contain, by its length."""
    queries = {f"search of {len(word)} letters": f"search={quote(word)}" for word in ("щ", "йщ", "щук")}
    found: dict[str, dict[int, float]] = {name: {} for name in [*queries, "page in the middle, by after"]}
    for size in TASKS:
        tenant = _fill_tasks(bench, size)
        queries["page in the middle, by after"] = f"after={filled_task(size // 2)}"
        with serving(tenant):
            for name, query in queries.items():
                call: Call = lambda http, _, on=tenant, to=f"/api/tasks?{query}": _send(http, on, "GET", to)  # noqa: E731 - typed by Call
                found[name] |= asyncio.run(_medians(tenant, {size: call}))
    return {name: _row(medians) for name, medians in found.items()}


ROWS = (streams, tokens, searches)


async def _measure(tenant: Tenant, calls: dict[int, Call]) -> dict[str, Any]:
    return _row(await _medians(tenant, calls))


async def _medians(tenant: Tenant, calls: dict[int, Call]) -> dict[int, float]:
    """Return the median of each call in milliseconds; the calls are made alternately."""
    http = Connection(tenant.port)
    seconds: dict[int, list[float]] = {size: [] for size in calls}
    for turn in range(-WARM_UP, ROUNDS):
        for size, call in calls.items():
            began = perf_counter()
            await call(http, turn)
            if turn >= 0:
                seconds[size].append(perf_counter() - began)
    http.close()
    return {size: round(percentile(times, 50) * 1000, 2) for size, times in seconds.items()}


def _row(medians: dict[int, float]) -> dict[str, Any]:
    return growth_row({f"{size:,}": ms for size, ms in sorted(medians.items())})


async def _send(http: Connection, tenant: Tenant, method: str, path: str, body: object = None) -> None:
    encoded = b"" if body is None else msgspec.json.encode(body)
    response = await http.request(method, path, encoded, authorization=tenant.bearer)
    assert response.status in {200, 201}, (path, response)


def _task(events: int) -> str:
    return f"01900000-0000-7000-8000-{events:012}"


def _queue(events: int) -> int:
    return events << 6 | 1


async def _fill_streams(tenant: Tenant) -> None:
    async with services(service_dsn(tenant.dsn)) as ours:
        for events in EVENTS:
            changes = [TaskPutBack() if n % 2 else TaskStarted() for n in range(events - 1)]
            await _append(ours, tenant, task_stream(_task(events)), 0, [filed(), *changes])
            created = QueueCreated(name="Callbacks", status=QueueStatus.OFF, concurrent_task_limit=1)
            switches = [QueueSwitchedOff() if n % 2 else QueueSwitchedOn() for n in range(events - 1)]
            await _append(ours, tenant, queue_stream(_queue(events)), 0, [created, *switches])


async def _fill_tokens(tenant: Tenant, count: int) -> None:
    async with services(service_dsn(tenant.dsn)) as ours:
        stream = organization_stream(tenant.organization)
        issued = [TokenIssued(token_id=f"old{n}", role=Role.AGENT, secret_hash="0" * 64) for n in range(count)]
        facts = [fact for token in issued for fact in (token, TokenRevoked(token_id=token.token_id))]
        last = await ours.log.read_last(stream)
        await _append(ours, tenant, stream, last.version if last else 0, facts)


async def _append(ours: Services, tenant: Tenant, stream: str, version: int, facts: Sequence[Fact]) -> None:
    envelope = Envelope(organization_id=tenant.organization, actor="cli")
    for start in range(0, len(facts), _CHUNK):
        await ours.log.append(stream, version + start, facts[start : start + _CHUNK], envelope)


def _fill_tasks(bench: Bench, size: int) -> Tenant:
    progress(f"{size} tasks")
    dsn = bench.database(f"growth_tasks_{size}")
    migrate(dsn)
    tenant = make_tenant(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        values = {"organization": tenant.organization, "member": tenant.member, "size": size, "matches": 10}
        connection.execute(FILL, values)
        connection.execute("UPDATE perezvon_1.task_list SET title_folded = 'о щуке' WHERE right(id, 4) = '0777'")
        rows = connection.execute("SELECT id, title_folded FROM perezvon_1.task_list").fetchall()
        connection.execute("CREATE TEMP TABLE grams (id text PRIMARY KEY, grams int[])")
        with connection.cursor().copy("COPY grams FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text", "int4[]"])
            for task_id, folded in rows:
                copy.write_row((task_id, title_grams(tenant.organization, folded)))
        connection.execute(
            "UPDATE perezvon_1.task_list AS t SET title_grams = g.grams FROM grams AS g WHERE g.id = t.id"
        )
        connection.execute(COUNT)
        connection.execute("VACUUM FULL ANALYZE perezvon_1.task_list")
    return tenant
