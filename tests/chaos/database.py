"""Faults of the database under load: `./run chaos --database`.

Clients file and list tasks, and workers dial callbacks, while the database is silent, paused, locked, read-only,
restarted, killed, full or replaced. Every request must be answered within five seconds, health within one; the service
must recover by itself; no acknowledged change may be lost, no call dialled twice, and no try spent without a ring.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from infrastructure.postgres.migrations import migrate
from tests.chaos.calls_verdict import judge
from tests.chaos.database_faults import FAULTS, SHORT, Impossible, Site, hold
from tests.chaos.database_verdict import PATIENCE_S, Answer, Ordeal, faults_of, ordeal_of, show
from tests.chaos.processes import CLI, Process, answers, free_port, log, throw_away_folder
from tests.chaos.switchboard import LIMIT, Switchboard, switchboard
from tests.chaos.verdict import read_streams
from tests.support.http_client import Connection
from tests.support.waiting import eventually, eventually_async

HOLD_S = 8.0
_WITHOUT_END_S = 60.0
_PAUSE_S = 0.05
_EARLY = ("-m", "tests.chaos.early_answers")


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
        """Wait until requests succeed that were sent after the moment; return the seconds since, None if it takes minutes."""

        async def works() -> float | None:
            return self.works_since(moment)

        with suppress(AssertionError):
            await eventually_async(works, timeout=PATIENCE_S)
        at = self.works_since(moment)
        return None if at is None else at - moment

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


class Storm:
    """The service under load, and the database that fails."""

    def __init__(self, site: Site, board: Switchboard, clients: Clients) -> None:
        """Use workers that dial for ``board``, and ``clients`` that send requests."""
        self._site, self._board, self._clients = site, board, clients

    async def run(self, names: Sequence[str], hold_s: float, callbacks: int, seed: int) -> list[Ordeal]:
        """Run the faults, each while calls are dialled: a part of the callbacks is scheduled before each of them."""
        paths = ("/api/tasks", "/health/live", "/health/ready")
        asking = [asyncio.create_task(self._clients.file()) for _ in range(2)]
        asking += [asyncio.create_task(self._clients.look(path)) for path in paths]
        part = callbacks // (len(names) + 1)
        try:
            await self._clients.work_again(0.0)
            await self._board.fill(callbacks - part * len(names), seed)
            await self._is_dialling(0)
            return [await self._undergo(name, hold_s, part) for name in names]
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _undergo(self, name: str, hold_s: float, part: int) -> Ordeal:
        """Make the fault happen, wait until the API has recovered, and then until a worker dials more callbacks."""
        began = time.monotonic()
        try:
            ended = await asyncio.to_thread(self._cause, name, 0.0 if name == "silent connections" else hold_s)
        except Impossible as error:
            log(f"{name}: NOT TESTED: {error}")
            return Ordeal(fault=name, impossible=str(error))
        recovered_s = await self._clients.work_again(ended)
        seen = [answer for answer in self._clients.answers if answer.ended > began]
        self._board.dsn = self._site.dsn
        placed = (await self._board.counts()).placed
        await self._board.add(part)
        dialled_s = time.monotonic() - ended if await self._is_dialling(placed) else None
        ordeal = ordeal_of(name, seen, recovered_s, dialled_s)
        log(
            f"{name:22} longest {ordeal.longest_s} s, health {ordeal.health_s} s, recovered {ordeal.recovered_s} s,"
            f" dialling {ordeal.dialled_s} s, {ordeal.statuses}"
        )
        return ordeal

    def _cause(self, name: str, hold_s: float) -> float:
        with FAULTS[name](self._site):
            hold(hold_s)
        return time.monotonic()

    async def _is_dialling(self, placed: int) -> bool:
        """Wait until more than ``placed`` calls were dialled; return False if that takes minutes."""

        async def more() -> bool:
            return (await self._board.counts()).placed > placed

        with suppress(AssertionError):
            return await eventually_async(more, timeout=PATIENCE_S)
        return False


async def main(
    *, callbacks: int, seconds: float | None, seed: int, is_short: bool, answer_early: bool, as_json: bool
) -> int:
    """Make each fault last for some seconds, print what was found, and return 0 if every promise was kept.

    ``answer_early`` runs an API that responds before the commit, which must be found out.
    """
    folder, names = throw_away_folder(), SHORT if is_short else tuple(FAULTS)
    site = Site(folder)
    migrate(site.dsn)
    port = free_port()
    environment = {"PEREZVON_DATABASE_URL": site.service, "PEREZVON_RATE_LIMITS": "false"}
    program = _EARLY if answer_early else CLI
    api = Process(*program, "serve", "--port", str(port), environment=environment, log=folder / "api.log")
    api.start()
    try:
        async with switchboard(site.dsn, folder, workers=2, service=site.service) as board:
            await asyncio.to_thread(eventually, lambda: answers(f"http://127.0.0.1:{port}/health/live"), timeout=60)
            clients = _clients(folder, environment, port)
            ordeals = await Storm(site, board, clients).run(names, seconds or HOLD_S, callbacks, seed)
            await board.over(5 * PATIENCE_S)
            calls = await judge(site.dsn, await board.counts(), board.receiver.got, callbacks=callbacks, limit=LIMIT)
    finally:
        api.kill()
    kept = {stream.removeprefix("task/") for stream in read_streams(site.dsn, "task/")}
    faults = list(faults_of(ordeals, calls, clients.filed, kept))
    return show(ordeals, calls, faults, filed=len(clients.filed), as_json=as_json)


def _clients(folder: Path, environment: dict[str, str], port: int) -> Clients:
    def command(*words: str) -> dict[str, str]:
        return json.loads(
            Process(*CLI, *words, "--json", environment=environment, log=folder / "commands.log").run().stdout
        )

    organization = command("organization", "create", "Chaos")
    operator = command("operator", "add", "Line", "--organization", str(organization["id"]))
    return Clients(port, operator["id"], organization["token"])
