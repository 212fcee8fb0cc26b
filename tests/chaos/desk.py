"""An organisation that has people called back, over HTTP as its own software does."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import httpx

from application.callers import Request
from infrastructure.postgres.connections import service_dsn
from interfaces.bootstrap.services import services
from tests.chaos.phones import Planned

_QUEUES = "/api/ver1.0/client/@me/task_scheduler/"


class Desk:
    """Talks to the API with an admin's token."""

    def __init__(self, url: str, token: str) -> None:
        """Use ``Desk.make``."""
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30)

    @classmethod
    def make(cls, dsn: str, url: str) -> "Desk":
        """Create an organisation in the database."""

        async def create() -> str:
            async with services(service_dsn(dsn)) as opened:
                return (await opened.organizations.create("Chaos", Request(request_id="chaos"))).token

        return cls(url, asyncio.run(create()))

    def open_queue(self, limit: int) -> int:
        """Open a queue that is on; answer its id."""
        wanted = {"name": "Chaos", "status": "on", "concurrent_task_limit": limit}
        return self._said(self._client.post(_QUEUES, json=wanted), 201)["id"]

    def schedule(self, queue: int, planned: Iterable[Planned], *, tries: int, pause_s: int) -> Sequence[int]:
        """Schedule callbacks to these people now; return the ids of the callbacks."""
        tasks = [
            {"a_number": one.a, "b_number": one.b, "try_count": tries, "try_again_pause": str(pause_s)}
            for one in planned
        ]
        answer = self._client.post(f"{_QUEUES}{queue}/task/", json={"tasks": tasks})
        return [callback["id"] for callback in self._said(answer, 201)]

    def comments(self, queue: int) -> dict[str, str | None]:
        """Return the finish comment of each callback by A's number; None while it is unfinished."""
        answer = self._client.get(f"{_QUEUES}{queue}/task/")
        return {callback["a_number"]: callback["finish_comment"] for callback in self._said(answer, 200)}

    def why_idle(self, queue: int) -> str | None:
        """Return the reason on the queue board why the queue starts no call."""
        answer = self._client.get("/v1/queue-board", params={"queue": queue})
        return self._said(answer, 200)["items"][0]["idle"]

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    @staticmethod
    def _said(answer: httpx.Response, status: int) -> Any:
        assert answer.status_code == status, answer.text
        return answer.json()
