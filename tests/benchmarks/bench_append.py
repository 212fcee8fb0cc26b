"""Commands per second: our append path, the append path of the stock library, and bare multi-row inserts.

Each command files one task and records one event of about 400 bytes. All three write to the same server, each to
its own database, alternately (A B C A B C …). The medians are printed.
"""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any
from uuid import uuid4

import psycopg
import uvloop
from psycopg import conninfo

from application.callers import Request
from application.tasks import FileTask
from domain.task.events import CallDetails
from infrastructure.postgres.connections import service_dsn
from infrastructure.postgres.migrations import migrate
from interfaces.bootstrap.services import services
from tests.benchmarks.support import Bench, commits, settings_of

IN_FLIGHT = (64, 256, 512)
TITLE = "Перезвонить клиенту по поводу доставки заказа"
DESCRIPTION = "Клиент просит уточнить время доставки и возможность оплаты картой при получении. Удобно после 18:00."
SECONDS = 4.0
WARM_UP = 0.5
ROUNDS = 3
STOCK_POOL = 16


def run(bench: Bench) -> dict[str, Any]:
    """Run all three at each number of commands in flight; return figures, ratios and the settings of both sides."""
    ours, stock, bare = (bench.database(name) for name in ("ours", "stock", "bare"))
    migrate(ours)
    result: dict[str, Any] = {"server": settings_of(ours), "event_bytes": None, "in_flight": {}}
    for n in IN_FLIGHT:
        rounds: dict[str, list[dict[str, float]]] = {"ours": [], "stock": [], "bare": []}
        for _ in range(ROUNDS):
            rounds["ours"].append(measure(ours, lambda n=n: uvloop.run(append_ours(ours, n))))
            if n != max(IN_FLIGHT):
                rounds["stock"].append(measure(stock, lambda n=n: append_stock(stock, n)))
            rounds["bare"].append(measure(bare, lambda n=n: insert_bare(bare, n)))
        result["in_flight"][n] = summary(rounds)
    with psycopg.connect(ours) as connection:
        row = connection.execute(
            "SELECT avg(length(state))::int FROM perezvon_1.stored_events WHERE topic = 'task.filed.v1'"
        )
        result["event_bytes"] = (row.fetchone() or [None])[0]
    result["pools"] = {"ours": "1 connection for appends", "stock": f"{STOCK_POOL} connections", "bare": "1 connection"}
    result["goals"] = goals(result["in_flight"])
    return result


def measure(dsn: str, work: Any) -> dict[str, float]:
    """Run ``work``; return commands/s and commits per command.

    ``work`` returns the counted commands, the seconds in which they were counted, and the number of all commands.
    """
    before = commits(dsn)
    done, seconds, all_done = work()
    return {"per_s": done / seconds, "commits_per_command": (commits(dsn) - before) / max(all_done, 1)}


def summary(rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return the medians of each side, and the ratio of our rate to each other rate."""
    sides = {
        side: {key: round(median(one[key] for one in runs), 4) for key in runs[0]}
        for side, runs in rounds.items()
        if runs
    }
    ours = sides["ours"]["per_s"]
    ratios = {f"ours_to_{side}": round(ours / figures["per_s"], 2) for side, figures in sides.items() if side != "ours"}
    spread = {side: [round(one["per_s"]) for one in runs] for side, runs in rounds.items() if runs}
    return {**sides, **ratios, "rounds_per_s": spread}


def goals(figures: dict[int, Any]) -> dict[str, Any]:
    """Return the measured figure for each goal."""
    return {
        "64: >= 6x stock": figures[64]["ours_to_stock"],
        "256: >= 10x stock": figures[256]["ours_to_stock"],
        "512: >= 0.5 of bare inserts": figures[512]["ours_to_bare"],
    }


class Meter:
    """Counter of the commands that complete between the end of the warm-up and the end of the measurement."""

    def __init__(self) -> None:
        self.start = time.perf_counter() + WARM_UP
        self.stop = self.start + SECONDS
        self.counted = self.all = 0

    def note(self, n: int = 1) -> bool:
        """Count ``n`` commands; return whether the measurement continues."""
        now = time.perf_counter()
        self.all += n
        if self.start <= now < self.stop:
            self.counted += n
        return now < self.stop

    @property
    def result(self) -> tuple[int, float, int]:
        """Return the counted commands, the seconds, and the number of all commands."""
        return self.counted, SECONDS, self.all


async def append_ours(dsn: str, in_flight: int) -> tuple[int, float, int]:
    """File tasks through the task service, ``in_flight`` at a time."""
    async with services(service_dsn(dsn)) as ours:
        admin = Request(request_id="bench")
        organization = await ours.organizations.create("Bench", admin)
        operator = await ours.organizations.add_operator(organization.id, "Line", admin, number=None, member_id=None)
        meter = Meter()

        async def client() -> None:
            request = Request(request_id=uuid4().hex)
            going = True
            while going:
                await ours.tasks.file(
                    FileTask(
                        operator_key=operator.id, details=CallDetails(subject="", title=TITLE, description=DESCRIPTION)
                    ),
                    request,
                )
                going = meter.note()

        await asyncio.gather(*(client() for _ in range(in_flight)))
        return meter.result


def append_stock(dsn: str, in_flight: int) -> tuple[int, float, int]:
    """Save new aggregates with the stock library's Application, one thread for each command in flight."""
    from tests.benchmarks.stock_application import FiledTask, stock_application  # noqa: PLC0415 - imports the library

    application = stock_application(dsn, STOCK_POOL)
    meter, lock = Meter(), threading.Lock()

    def client() -> None:
        going = True
        while going:
            application.save(FiledTask(title=TITLE, description=DESCRIPTION))
            with lock:
                going = meter.note()

    with ThreadPoolExecutor(in_flight) as executor:
        for future in [executor.submit(client) for _ in range(in_flight)]:
            future.result()
    application.close()
    return meter.result


def insert_bare(dsn: str, in_flight: int) -> tuple[int, float, int]:
    """Insert rows of the same size without any check, ``in_flight`` rows in each statement."""
    state = b"x" * 600
    insert = "INSERT INTO rows SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[])"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS rows (stream text NOT NULL, version bigint NOT NULL, topic text, state bytea,"
            " position bigserial UNIQUE, PRIMARY KEY (stream, version))"
        )
        meter, going = Meter(), True
        while going:
            streams = [str(uuid4()) for _ in range(in_flight)]
            values = (streams, [1] * in_flight, ["task.filed.v1"] * in_flight, [state] * in_flight)
            connection.execute(insert, values, prepare=True)
            going = meter.note(in_flight)
    return meter.result


def library_environment(dsn: str, pool: int) -> dict[str, str]:
    """Return the environment variables with which the library connects to a DSN."""
    parts = conninfo.conninfo_to_dict(dsn)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parts["dbname"]),
        "POSTGRES_HOST": str(parts["host"]),
        "POSTGRES_USER": str(parts["user"]),
        "POSTGRES_PASSWORD": str(parts.get("password") or ""),
        "POSTGRES_PORT": str(parts.get("port") or "5432"),
        "POSTGRES_POOL_SIZE": str(pool),
        "POSTGRES_MAX_OVERFLOW": "0",
    }
