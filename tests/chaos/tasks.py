"""Kill -9 of API, worker and Postgres in turn, while clients file tasks."""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Protocol

import msgspec
import psycopg

from infrastructure.postgres.connections import service_dsn
from infrastructure.postgres.migrations import migrate
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA
from tests.chaos.load import Load
from tests.chaos.processes import CLI, Postgres, Process, answers, free_port, log, show_logs, throw_away_folder
from tests.chaos.verdict import Verdict, judge
from tests.support.waiting import eventually

VIEWS = ("task_list", "audit_trail")


class Victim(Protocol):
    """A process that can be killed and restarted."""

    def kill(self) -> None:
        """End it by SIGKILL."""
        ...

    def start(self) -> None:
        """Start it again."""
        ...


class Stack:
    """Postgres, API and worker in a throw-away folder."""

    def __init__(self, home: Path, *, answer_early: bool) -> None:
        """Keep data and logs in ``home``; ``answer_early`` runs the faulty build, which must be detected."""
        self.home = home
        self.postgres = Postgres(home)
        self.postgres.start()
        migrate(self.postgres.dsn)
        self.port = free_port()
        self._environment = {"PEREZVON_DATABASE_URL": service_dsn(self.postgres.dsn), "PEREZVON_RATE_LIMITS": "false"}
        program = ("-m", "tests.chaos.early_answers") if answer_early else CLI
        serve = (*program, "serve", "--port", str(self.port))
        self.api = Process(*serve, environment=self._environment, log=home / "api.log")
        self.worker = Process(*CLI, "work", environment=self._environment, log=home / "worker.log")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of perezvon until it ends."""
        environment = self._environment | {"PEREZVON_OWNER_URL": self.postgres.dsn}
        process = Process(*CLI, *words, environment=environment, log=self.home / "commands.log")
        return process.run()

    def json(self, *words: str) -> dict[str, Any]:
        """Return the JSON output of a command of perezvon."""
        return json.loads(self.command(*words, "--json").stdout)

    def serves(self) -> bool:
        """Return whether the API responds and reaches its database."""
        return answers(f"http://127.0.0.1:{self.port}/health/ready")


@asynccontextmanager
async def stack(*, answer_early: bool) -> AsyncGenerator[Stack]:
    """Start everything, and end it again."""
    running = Stack(throw_away_folder(), answer_early=answer_early)
    running.api.start()
    running.worker.start()
    try:
        eventually(running.serves, timeout=60)
        yield running
    except Exception:
        show_logs(running.home)
        raise
    finally:
        running.api.kill()
        running.worker.kill()


async def storm(running: Stack, options: argparse.Namespace) -> tuple[Load, list[dict[str, Any]]]:
    """Load the service and kill its processes in turn; return the acknowledged changes and the kills."""
    organization = running.json("organization", "create", "Chaos")
    operator = running.json("operator", "add", "Line", "--organization", str(organization["id"]))
    load = Load(running.port, operator["id"], organization["token"], clients=options.clients, seed=options.seed)
    loading = asyncio.create_task(load.run())
    victims: list[tuple[str, Victim]] = [
        ("api", running.api),
        ("worker", running.worker),
        ("postgres", running.postgres),
    ]
    random, kills = Random(options.seed), list[dict[str, Any]]()
    deadline = time.monotonic() + options.seconds if options.seconds else None
    while len(kills) < options.kills and (deadline is None or time.monotonic() < deadline):
        name, victim = victims[len(kills) % len(victims)]
        await asyncio.sleep(random.uniform(0.5, 2.0))  # a kill at a random moment under load is the purpose here
        kills.append({"killed": name, "in_flight": load.in_flight, "answered_before": len(load.promises)})
        await asyncio.to_thread(victim.kill)
        await asyncio.to_thread(victim.start)
        await asyncio.to_thread(eventually, running.serves, timeout=90)
        log(f"kill {len(kills)}: {kills[-1]}")
    load.stop()
    await loading
    return load, kills


def caught_up(dsn: str) -> bool:
    """Return whether every view has reached the end of the log."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            f"SELECT bool_and(c.position = (SELECT max(notification_id) FROM {SCHEMA}.{LOG_TABLE}))"
            f" FROM {SCHEMA}.checkpoints c".encode()
        ).fetchone()
    return bool(row and row[0])


def differing(running: Stack, view: str) -> int:
    """Rebuild a view beside the live one; return the number of differing rows."""
    done = running.command("rebuild", view, "--json")
    found: list[dict[str, Any]] = json.loads(done.stdout)["differences"]
    return sum(int(table[how]) for table in found for how in ("differing", "missing", "extra"))


async def main(options: argparse.Namespace) -> int:
    """Run the kills under load, print the verdict, and return 0 if nothing was lost."""
    async with stack(answer_early=options.answer_early) as running:
        load, kills = await storm(running, options)
        await asyncio.to_thread(eventually, lambda: caught_up(running.postgres.dsn), timeout=120)
        running.worker.end()
        rows = {view: differing(running, view) for view in VIEWS}
        verdict = judge(running.postgres.dsn, load.promises, rows)
    show(verdict, load, kills, as_json=options.json)
    return 0 if verdict.clean else 1


def show(verdict: Verdict, load: Load, kills: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print the verdict: one JSON object, or lines for people."""
    found = msgspec.to_builtins(verdict) | {"kills": kills, "answers": {str(k): n for k, n in load.statuses.items()}}
    if as_json:
        sys.stdout.write(json.dumps(found | {"clean": verdict.clean}, ensure_ascii=False) + "\n")
        return
    log(f"{len(kills)} kills, in flight at each: {[kill['in_flight'] for kill in kills]}; answers: {found['answers']}")
    log(
        f"{verdict.promises} answered changes, {verdict.events} events, {verdict.gaps} gaps, {len(verdict.broken)} lost"
    )
    log(f"rows that differ from a rebuild: {verdict.differing_rows}")
    for line in verdict.broken[:10]:
        log(f"LOST {line}")
    log("clean" if verdict.clean else "NOT CLEAN")
