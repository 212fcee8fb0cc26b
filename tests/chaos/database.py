"""Faults of the database under load: `./run chaos --database`.

Clients file and list tasks, and a worker dials callbacks, while the database is silent, paused, locked, read-only,
restarted, killed, full or replaced. Every request must be answered within five seconds, health within one; the service
must recover by itself; no acknowledged change may be lost and no call dialled twice.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from infrastructure.postgres.migrations import migrate
from tests.chaos.calls_verdict import CallsVerdict
from tests.chaos.calls_verdict import judge as judge_calls
from tests.chaos.database_faults import FAULTS, SHORT, Impossible, Site, hold
from tests.chaos.processes import CLI, Process, answers, free_port, log, throw_away_folder
from tests.chaos.switchboard import LIMIT, switchboard
from tests.chaos.verdict import read_streams
from tests.support.http_client import Connection
from tests.support.waiting import eventually, eventually_async

HOLD_S = 8.0
ANSWER_S = 5.0
HEALTH_S = 1.0
_SLACK_S = 0.5  # of a machine that also runs the load
_WITHOUT_END_S = 60.0
_PAUSE_S = 0.05
_PATIENCE_S = 120.0


class Answer(msgspec.Struct, frozen=True):
    """A response, or the lack of one (status 0): what was asked, from when to when."""

    path: str
    status: int
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """The time without an answer."""
        return self.ended - self.began


class Ordeal(msgspec.Struct, frozen=True, kw_only=True):
    """The effects of one fault. Times are in seconds; ``recovered_s`` counts from its end on."""

    fault: str
    longest_s: float
    health_s: float
    recovered_s: float
    statuses: dict[str, int]
    faults: list[str]
    impossible: str = ""


class Clients:
    """Clients that file and list tasks, and ask for health, and remember every response."""

    def __init__(self, port: int, operator: str, token: str) -> None:
        """Send requests to the API on that port."""
        self._port, self._operator, self._bearer = port, operator, f"Bearer {token}"
        self.answers: list[Answer] = []
        self.filed: list[str] = []

    async def file(self) -> None:
        """File tasks, one after another, with texts that not every encoding has."""
        connection = Connection(self._port)
        body = msgspec.json.encode({"operator_id": self._operator, "title": "Перезвонить: Әсел 😀"})
        while True:
            response = await self._ask(connection, "POST", "/api/tasks", body)
            if response:
                self.filed.append(str(response["id"]))

    async def look(self, path: str) -> None:
        """Ask for a path, again and again."""
        connection = Connection(self._port)
        while True:
            await self._ask(connection, "GET", path)

    async def _ask(self, connection: Connection, method: str, path: str, body: bytes = b"") -> dict[str, object] | None:
        began, status, answer = time.monotonic(), 0, None
        try:
            async with asyncio.timeout(_WITHOUT_END_S):
                answer = await connection.request(method, path, body, authorization=self._bearer)
            status = answer.status
        except (OSError, EOFError, TimeoutError):
            connection.close()
        self.answers.append(Answer(f"{method} {path}", status, began, time.monotonic()))
        await asyncio.sleep(_PAUSE_S)
        return answer.json() if answer and status == 200 else None

    async def work_again(self, moment: float) -> float | None:
        """Wait until requests succeed that were sent after the moment; return when they did, None if it takes minutes."""

        async def works() -> float | None:
            return self.works_since(moment)

        with suppress(AssertionError):
            return await eventually_async(works, timeout=_PATIENCE_S)
        return None

    def works_since(self, moment: float) -> float | None:
        """Return when a task was filed and the list was read after the moment; None if not yet."""
        ends = {
            path: min(
                (a.ended for a in self.answers if a.path == path and a.status == 200 and a.began > moment), default=None
            )
            for path in ("POST /api/tasks", "GET /api/tasks")
        }
        found = [end for end in ends.values() if end is not None]
        return max(found) if len(found) == len(ends) else None


async def undergo(name: str, site: Site, clients: Clients, hold_s: float) -> Ordeal:
    """Make the fault happen under load, and wait until the service has recovered."""
    began, ended = time.monotonic(), 0.0
    try:
        ended = await asyncio.to_thread(_cause, name, site, 0.0 if name == "silent connections" else hold_s)
    except Impossible as error:
        log(f"{name}: NOT TESTED: {error}")
        return Ordeal(fault=name, longest_s=0, health_s=0, recovered_s=0, statuses={}, faults=[], impossible=str(error))
    works = await clients.work_again(ended)
    seen = [answer for answer in clients.answers if answer.ended > began]
    health = max((a.seconds for a in seen if "/health/" in a.path), default=0.0)
    longest = max((a.seconds for a in seen), default=0.0)
    statuses = Counter(f"{a.path.split()[0]} {a.status}" for a in seen if "/health/" not in a.path)
    faults = []
    if longest > ANSWER_S + _SLACK_S:
        faults.append(f"{name}: no answer for {longest:.1f} s")
    if health > HEALTH_S + _SLACK_S:
        faults.append(f"{name}: no answer about health for {health:.1f} s")
    if works is None:
        faults.append(f"{name}: no recovery within {_PATIENCE_S:g} s")
    faults += [
        f"{name}: {count} times {what}" for what, count in statuses.items() if what.split()[1] not in {"200", "503"}
    ]
    ordeal = Ordeal(
        fault=name,
        longest_s=round(longest, 2),
        health_s=round(health, 2),
        recovered_s=round((works or time.monotonic()) - ended, 2),
        statuses=dict(statuses),
        faults=faults,
    )
    log(
        f"{name:22} longest {ordeal.longest_s} s, health {ordeal.health_s} s, recovered {ordeal.recovered_s} s, {ordeal.statuses}"
    )
    return ordeal


def _cause(name: str, site: Site, hold_s: float) -> float:
    with FAULTS[name](site):
        hold(hold_s)
    return time.monotonic()


async def main(*, callbacks: int, seconds: float | None, seed: int, is_short: bool, as_json: bool) -> int:
    """Make each fault last for some seconds, print what was found, and return 0 if every promise was kept."""
    folder, hold_s = throw_away_folder(), seconds or HOLD_S
    site = Site(folder)
    migrate(site.dsn)
    port = free_port()
    environment = {"PEREZVON_DATABASE_URL": site.service, "PEREZVON_RATE_LIMITS": "false"}
    api = Process(*CLI, "serve", "--port", str(port), environment=environment, log=folder / "api.log")
    api.start()
    try:
        async with switchboard(site.dsn, folder, workers=2, service=site.service) as board:
            await asyncio.to_thread(eventually, lambda: answers(f"http://127.0.0.1:{port}/health/live"), timeout=60)
            clients = _clients(folder, environment, port)
            await board.fill(callbacks, seed)
            ordeals = await _run(clients, site, hold_s, SHORT if is_short else tuple(FAULTS))
            board.dsn = site.dsn
            await board.over(_PATIENCE_S * 5)
            calls = await judge_calls(
                site.dsn, await board.counts(), board.receiver.got, callbacks=callbacks, limit=LIMIT
            )
    finally:
        api.kill()
    lost = _lost(site, clients)
    return show(ordeals, calls, lost, filed=len(clients.filed), as_json=as_json)


def _clients(folder: Path, environment: dict[str, str], port: int) -> Clients:
    def command(*words: str) -> dict[str, str]:
        return json.loads(
            Process(*CLI, *words, "--json", environment=environment, log=folder / "commands.log").run().stdout
        )

    organization = command("organization", "create", "Chaos")
    operator = command("operator", "add", "Line", "--organization", str(organization["id"]))
    return Clients(port, operator["id"], organization["token"])


async def _run(clients: Clients, site: Site, hold_s: float, names: Sequence[str]) -> list[Ordeal]:
    paths = ("/api/tasks", "/health/live", "/health/ready")
    asking = [asyncio.create_task(clients.file()) for _ in range(2)]
    asking += [asyncio.create_task(clients.look(path)) for path in paths]
    try:
        await clients.work_again(0.0)
        return [await undergo(name, site, clients, hold_s) for name in names]
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


def _lost(site: Site, clients: Clients) -> list[str]:
    streams = read_streams(site.dsn, "task/")
    return [task for task in clients.filed if f"task/{task}" not in streams]


def show(ordeals: Sequence[Ordeal], calls: CallsVerdict, lost: Sequence[str], *, filed: int, as_json: bool) -> int:
    """Print the verdict: one JSON object, or lines for people; return 0 if every promise was kept."""
    faults = [fault for ordeal in ordeals for fault in ordeal.faults] + list(calls.faults)
    faults += [f"{len(lost)} acknowledged tasks are lost"] if lost else []
    if as_json:
        found = {
            "ordeals": msgspec.to_builtins(ordeals),
            "calls": msgspec.to_builtins(calls),
            "filed": filed,
            "lost": len(lost),
            "faults": faults,
            "clean": not faults,
        }
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    for ordeal in ordeals:
        if ordeal.impossible:
            log(f"NOT TESTED: {ordeal.fault}: {ordeal.impossible}")
    log(f"{filed} tasks filed, {len(lost)} lost; most dials of a call: {calls.most_dials}")
    log(
        f"{calls.attempts} attempts, {calls.lost} tries spent without a ring, {calls.not_dialled} not dialled and free of"
        " charge"
    )
    for line in faults[:20]:
        log(f"FAULT {line}")
    log("NOT CLEAN" if faults else "clean")
    return 1 if faults else 0
