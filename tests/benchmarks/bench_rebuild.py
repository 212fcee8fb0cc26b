"""`perezvon rebuild task_list` over 200,000 events, and the stock library's ProjectionRunner with the same view.

Both logs hold tasks that were filed, started and completed. Our figure covers the whole rebuild: reading, folding,
indexes, comparison with the live view, and the swap.
"""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import psycopg
from psycopg import AsyncConnection

from application.ids import uuid7
from domain.model import Envelope
from domain.task.events import CallDetails, Priority, TaskCompleted, TaskFiled, TaskStarted, TaskType
from infrastructure.event_log.append import Command, append_batch
from infrastructure.event_log.codec import encode
from infrastructure.operations.rebuild import rebuild
from infrastructure.postgres.migrations import migrate
from tests.benchmarks.bench_append import DESCRIPTION, TITLE, library_environment
from tests.benchmarks.support import Bench, progress, settings_of

OURS, STOCK = 200_000, 20_000
ROUNDS = 3
MB = 1024


def run(bench: Bench) -> dict[str, Any]:
    """Rebuild the view ``ROUNDS`` times, and run the stock library once; return events/s and memory."""
    ours, stock = bench.database("rebuild"), bench.database("rebuild_stock")
    migrate(ours)
    progress(f"recording {OURS} events")
    asyncio.run(fill(ours, OURS))
    progress("first build of the view")
    rates, memory = [one_rebuild(ours)[0]], list[float]()
    for _ in range(ROUNDS):
        rate, peak = one_rebuild(ours)
        rates.append(rate)
        memory.append(peak)
        progress(f"{rate:.0f} events/s")
    progress(f"the stock library: {STOCK} events")
    peer = run_stock(stock)
    per_s = sorted(rates[1:])[ROUNDS // 2]
    return {
        "events": OURS,
        "ours_per_s": round(per_s),
        "rounds_per_s": [round(rate) for rate in rates[1:]],
        "first_build_per_s": round(rates[0]),
        "peak_mb": round(max(memory)),
        "stock_events": STOCK,
        "stock_per_s": round(peer),
        "server": settings_of(ours),
        "goals": {">= 20x stock": round(per_s / peer, 1), ">= 20000 events/s": round(per_s)},
    }


async def fill(dsn: str, events: int) -> None:
    """Record tasks with ``append_batch``, three events each: filed, started and completed, 1,000 tasks at a time."""
    envelope = Envelope(organization_id=1, actor="operator/1", causation="bench", correlation="bench")
    kinds, priorities = list(TaskType), list(Priority)
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        for start in range(0, events // 3, 1000):
            ids = [uuid7() for _ in range(min(1000, events // 3 - start))]
            filed = [
                TaskFiled(
                    operator_number=1,
                    task_type=kinds[n % len(kinds)],
                    priority=priorities[n % len(priorities)],
                    personal=CallDetails(subject=task_id, title=f"{TITLE} № {start + n}", description=DESCRIPTION),
                )
                for n, task_id in enumerate(ids)
            ]
            for version, facts in enumerate((filed, [TaskStarted()] * len(ids), [TaskCompleted()] * len(ids))):
                await append_batch(connection, commands(ids, version, facts, envelope))


def commands(ids: Sequence[str], version: int, facts: Sequence[Any], envelope: Envelope) -> list[Command]:
    """Return a command for each task."""
    return [
        Command(stream=f"task/{task_id}", version=version, facts=[fact], states=[encode(fact)], envelope=envelope)
        for task_id, fact in zip(ids, facts, strict=True)
    ]


def one_rebuild(dsn: str) -> tuple[float, float]:
    """Rebuild in a new process; return events/s and its peak memory in MB."""
    code = "import sys; from tests.benchmarks.bench_rebuild import rebuild_here; rebuild_here(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, dsn], capture_output=True, text=True, check=True)
    rate, peak = done.stdout.split()
    return float(rate), float(peak)


def rebuild_here(dsn: str) -> None:
    """Rebuild in this process; print events/s and peak memory in MB."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(*) FROM perezvon_1.stored_events").fetchone()
    # From the second time on, the live view is at the end of the log; the first rebuild is the first build.
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO perezvon_1.checkpoints (name, position) VALUES ('task_list', %s)"
            " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            (row[0] if row else 0,),
        )
    began = perf_counter()
    report = asyncio.run(rebuild(dsn, "task_list", accept=True, progress=lambda _reached, _end: None))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MB
    sys.stdout.write(f"{report.events / (perf_counter() - began)} {peak}\n")


def run_stock(dsn: str) -> float:
    """Measure how fast the stock ProjectionRunner catches up with a log; return events/s."""
    from eventsourcing.projection import ProjectionRunner  # noqa: PLC0415 - imports the library

    from tests.benchmarks.stock_projection import StockProjection, StockTaskList, StockTasks, fill  # noqa: PLC0415 - the same

    environment = library_environment(dsn, 4)
    application = StockTasks(env=environment)
    fill(application, STOCK)
    last = application.recorder.max_notification_id()
    began = perf_counter()
    with ProjectionRunner(
        application_class=StockTasks, projection_class=StockProjection, view_class=StockTaskList, env=environment
    ) as runner:
        runner.wait(last, timeout=600)
    seconds = perf_counter() - began
    application.close()
    return (last or 0) / seconds
