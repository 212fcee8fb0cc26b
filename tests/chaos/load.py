"""Clients that file and change tasks, and remember every change that was answered."""

import asyncio
from collections import Counter
from itertools import count
from random import Random

import msgspec

from tests.support.http_client import Connection

_PAUSE_AFTER_LOSS = 0.02


class Promise(msgspec.Struct, frozen=True):
    """An answered change: the task is at that version, in that status, and what was filed has that call id."""

    task_id: str
    version: int
    status: str
    call_id: str


class Load:
    """Clients against one server; what they were answered is what the service promised."""

    def __init__(self, port: int, operator: str, token: str, *, clients: int, seed: int) -> None:
        """File as ``operator``, change with ``token``."""
        self._port, self._operator, self._token = port, operator, token
        self._clients, self._random, self._serial = clients, Random(seed), count()
        self._stop = asyncio.Event()
        self.promises: list[Promise] = []
        self.in_flight = 0
        self.statuses: Counter[int | str] = Counter()

    async def run(self) -> None:
        """Send requests until ``stop`` is called."""
        await asyncio.gather(*(self._client() for _ in range(self._clients)))

    def stop(self) -> None:
        """Stop each client after its current request."""
        self._stop.set()

    async def _client(self) -> None:
        connection = Connection(self._port)
        while not self._stop.is_set():
            try:
                await self._one_task(connection)
            except (OSError, EOFError):
                self.statuses["lost"] += 1
                await asyncio.sleep(_PAUSE_AFTER_LOSS)
        connection.close()

    async def _one_task(self, connection: Connection) -> None:
        call_id = f"chaos-{next(self._serial)}"
        body = {"operator_id": self._operator, "title": f"Перезвонить {call_id}", "call_id": call_id}
        task = await self._ask(connection, "POST", "/api/tasks", body)
        if task is None:
            return
        for status in self._random.choice((["completed"], ["in_progress", "failed"], ["in_progress", "pending"], [])):
            if await self._ask(connection, "PUT", f"/api/tasks/{task['id']}/status", {"status": status}) is None:
                return

    async def _ask(
        self, connection: Connection, method: str, path: str, body: dict[str, str]
    ) -> dict[str, object] | None:
        self.in_flight += 1
        try:
            encoded, bearer = msgspec.json.encode(body), f"Bearer {self._token}"
            answer = await connection.request(method, path, encoded, authorization=bearer)
        finally:
            self.in_flight -= 1
        self.statuses[answer.status] += 1
        if answer.status != 200:
            await asyncio.sleep(_PAUSE_AFTER_LOSS)
            return None
        task = answer.json()
        self.promises.append(
            Promise(str(task["id"]), int(str(task["version"])), str(task["status"]), str(task["call_id"]))
        )
        return task
