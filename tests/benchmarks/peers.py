"""Workers of the peers, each in its own process: `python -m tests.benchmarks.peers WORK DSN NUMBER…`.

Each prints one JSON object. Settings: procrastinate's concurrency and pool are those at which it was fastest here (its
guide "Launch multiple jobs concurrently" names both). pgqueuer runs as its own ``tools/benchmark.py --strategy drain -d
psy`` does: five consumers with a connection each, with the batch size at which it was fastest here. Both use uvloop, as
we do. A notification wakes procrastinate's worker when a job is inserted, not when it is due: scheduled jobs wait for
the next poll, every five seconds by default. ``SCHEDULED`` sets an interval so short that it does not matter.
"""

import asyncio
import json
import logging
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import uvloop

from tests.benchmarks.support import random_times

PROCRASTINATE = {"concurrency": 20, "pool": 20, "delete_jobs": "always", "listen_notify": True}
SCHEDULED = {"fetch_job_polling_interval": 0.01}
PGQUEUER = {"consumers": 5, "batch_size": 100}
ENQUEUED_AT_ONCE = 1000
_DEFERRED_AT_ONCE = 20
_LEAD = timedelta(seconds=25)  # by then all jobs are scheduled


async def procrastinate_app(dsn: str, *, fresh: bool = True) -> Any:
    """Open a procrastinate application on an empty database; ``fresh`` creates its schema."""
    from procrastinate import App, PsycopgConnector  # noqa: PLC0415 - one peer in a process

    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    pool = int(PROCRASTINATE["pool"])
    app = App(connector=PsycopgConnector(conninfo=dsn, min_size=pool, max_size=pool + 5))
    await app.open_async()
    if fresh:
        await app.schema_manager.apply_schema_async()
    return app


async def drain_procrastinate(dsn: str, jobs: int) -> dict[str, Any]:
    """Return the seconds that a worker takes for ``jobs`` jobs that do nothing."""
    app = await procrastinate_app(dsn)

    @app.task(name="noop")
    async def noop(n: int) -> None:
        pass

    for first in range(0, jobs, ENQUEUED_AT_ONCE):
        await noop.batch_defer_async(*({"n": n} for n in range(first, first + ENQUEUED_AT_ONCE)))
    began = time.perf_counter()
    await app.run_worker_async(
        wait=False, concurrency=PROCRASTINATE["concurrency"], delete_jobs="always", install_signal_handlers=False
    )
    seconds = time.perf_counter() - began
    await app.close_async()
    return {"seconds": seconds}


async def late_procrastinate(dsn: str, jobs: int, seconds: int) -> dict[str, Any]:
    """Return, in seconds, how late each of ``jobs`` jobs began. They are due at random times within ``seconds``."""
    app, late = await procrastinate_app(dsn), list[float]()

    @app.task(name="late")
    async def begun(due: float) -> None:
        late.append(time.time() - due)
        if len(late) == jobs:
            worker.cancel()

    due = random_times(datetime.now(UTC) + _LEAD, seconds, jobs)
    for first in range(0, jobs, _DEFERRED_AT_ONCE):
        some = due[first : first + _DEFERRED_AT_ONCE]
        await asyncio.gather(*(begun.configure(schedule_at=at).defer_async(due=at.timestamp()) for at in some))
    assert datetime.now(UTC) < due[0], "scheduling took longer than the lead"
    worker = asyncio.create_task(
        app.run_worker_async(
            concurrency=PROCRASTINATE["concurrency"],
            delete_jobs="always",
            install_signal_handlers=False,
            **SCHEDULED,
        )
    )
    with suppress(asyncio.CancelledError):
        await worker
    await app.close_async()
    return {"late": late}


async def pgqueuer_queries(dsn: str) -> Any:
    """Open a pgqueuer connection."""
    import psycopg  # noqa: PLC0415 - one peer in a process
    from pgqueuer.db import PsycopgDriver  # noqa: PLC0415 - the same
    from pgqueuer.queries import Queries  # noqa: PLC0415 - the same

    return Queries(PsycopgDriver(await psycopg.AsyncConnection.connect(dsn, autocommit=True)))


async def drain_pgqueuer(dsn: str, jobs: int) -> dict[str, Any]:
    """Return the seconds that the consumers take for ``jobs`` jobs that do nothing."""
    from pgqueuer import PgQueuer  # noqa: PLC0415 - one peer in a process
    from pgqueuer.types import QueueExecutionMode  # noqa: PLC0415 - the same

    queries = await pgqueuer_queries(dsn)
    await queries.install()
    for _ in range(0, jobs, ENQUEUED_AT_ONCE):
        n = ENQUEUED_AT_ONCE
        await queries.enqueue(["noop"] * n, [b""] * n, [0] * n)
    consumers = [PgQueuer((await pgqueuer_queries(dsn)).driver) for _ in range(PGQUEUER["consumers"])]
    done = 0

    async def noop(job: Any) -> None:
        nonlocal done
        done += 1

    for consumer in consumers:
        consumer.entrypoint("noop")(noop)
    began = time.perf_counter()
    await asyncio.gather(
        *(one.run(batch_size=PGQUEUER["batch_size"], mode=QueueExecutionMode.drain) for one in consumers)
    )
    seconds = time.perf_counter() - began
    assert done == jobs, done
    return {"seconds": seconds}


if __name__ == "__main__":
    work, dsn_, *numbers = sys.argv[1:]
    print(json.dumps(uvloop.run(globals()[work](dsn_, *map(int, numbers)))))
