"""Organisation B: four times a second it files a task, reads a list, and has a person called back with webhooks."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import aiohttp
import msgspec
import psycopg

from tests.benchmarks.support import percentile
from tests.chaos.neighbour.service import Service, Tenant
from tests.support.receiving import Receiver
from tests.support.waiting import eventually_async

PER_SECOND = 4
PATIENCE_S = 30.0
"""How long a request, a call or a webhook may take before it counts as this late."""

Arrivals = dict[int, datetime]
"""When a webhook of each callback arrived first."""

_QUEUES = "/api/ver1.0/client/@me/task_scheduler/"
_CALLS = """
    SELECT split_part(originator_id, '/', 2)::bigint, topic, recorded_at
    FROM perezvon_1.stored_events
    WHERE organization_id = %s
        AND topic IN ('callback.scheduled.v1', 'callback.attempt_started.v1', 'callback.finished.v1')
        AND recorded_at >= %s
"""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that each action of B took: one for each action, ``PATIENCE_S`` where it did not happen at all."""

    post: Sequence[float]
    list: Sequence[float]
    call: Sequence[float]
    url_before: Sequence[float]
    url_after: Sequence[float]

    def percentile_ms(self, percent: int) -> dict[str, float]:
        """Return that percentile of each, in milliseconds."""
        return {
            name: round(1000 * percentile(list(values), percent), 1)
            for name, values in msgspec.structs.asdict(self).items()
        }


class Quiet:
    """The software of organisation B."""

    def __init__(self, service: Service, tenant: Tenant, receiver: Receiver, session: aiohttp.ClientSession) -> None:
        """Send requests over ``session``; ``receiver`` gets the webhooks."""
        self._service, self._tenant, self._receiver, self._session = service, tenant, receiver, session
        self._headers = {"Authorization": f"Bearer {tenant.token}"}
        self._numbers = count()
        self._queue = 0

    async def prepare(self) -> None:
        """Create a queue that is on."""
        wanted = {"name": "Quiet", "status": "on", "concurrent_task_limit": 50}
        self._queue = (await self._send("POST", _QUEUES, wanted))["id"]

    async def work(self, seconds: float) -> Figures:
        """Work for so long, then wait for the last calls and webhooks; return how long everything took."""
        since, began = datetime.now(UTC), time.monotonic()
        posts, lists, scheduling = list[float](), list[float](), list[asyncio.Task[int | None]]()
        actions = set[asyncio.Task[None]]()
        for number in range(int(seconds * PER_SECOND)):
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
            actions.add(asyncio.create_task(self._timed(posts, "POST", "/api/tasks", self._task())))
            actions.add(asyncio.create_task(self._timed(lists, "GET", "/api/tasks", None)))
            scheduling.append(asyncio.create_task(self._schedule()))
        await asyncio.wait(actions)
        ids = [callback_id for task in scheduling if (callback_id := await task) is not None]
        failed = len(scheduling) - len(ids)
        await self._settled(ids)
        arrived = (self._arrivals("/before"), self._arrivals("/after"))
        calls, before, after = await asyncio.to_thread(self._lateness, ids, since, *arrived)
        late = [PATIENCE_S] * failed
        return Figures(post=posts, list=lists, call=calls + late, url_before=before + late, url_after=after + late)

    def _task(self) -> dict[str, Any]:
        return {"operator_id": self._tenant.operator, "title": "Перезвонить", "caller_phone": "+77010001234"}

    async def _timed(self, figures: list[float], method: str, path: str, body: dict[str, Any] | None) -> None:
        began = time.perf_counter()
        try:
            await self._send(method, path, body)
            figures.append(time.perf_counter() - began)
        except (aiohttp.ClientError, TimeoutError):
            figures.append(PATIENCE_S)

    async def _schedule(self) -> int | None:
        number = next(self._numbers)
        urls = {
            f"url_{kind}": f"http://{self._service.host}:{self._port}/{kind}" for kind in ("before", "success", "after")
        }
        callback = {"a_number": "1001", "b_number": f"+7701{number // 1000:03}1{number % 1000:03}", **urls}
        try:
            return (await self._send("POST", f"{_QUEUES}{self._queue}/task/", {"tasks": [callback]}))[0]["id"]
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        async with self._session.request(
            method, self._service.url + path, json=body, headers=self._headers
        ) as response:
            response.raise_for_status()
            return await response.json()

    @property
    def _port(self) -> int:
        return int(self._receiver.url.rsplit(":", 1)[1])

    async def _settled(self, ids: Sequence[int]) -> None:
        """Wait until each callback's last webhook has arrived, within limits."""
        with suppress(AssertionError):
            await eventually_async(lambda: self._have_arrived(ids), timeout=PATIENCE_S)

    async def _have_arrived(self, ids: Sequence[int]) -> bool:
        return set(ids) <= self._arrivals("/after").keys()

    def _arrivals(self, path: str) -> Arrivals:
        """Return when each callback's webhook arrived first."""
        loop_now, now = asyncio.get_running_loop().time(), datetime.now(UTC)
        found: Arrivals = {}
        for received in self._receiver.got:
            if received.path == path:
                found.setdefault(received.callback_id, now - timedelta(seconds=loop_now - received.at))
        return found

    def _lateness(
        self, ids: Sequence[int], since: datetime, before: Arrivals, after: Arrivals
    ) -> tuple[list[float], list[float], list[float]]:
        events: dict[tuple[int, str], datetime] = {}
        with psycopg.connect(self._service.dsn) as connection:
            for callback_id, topic, at in connection.execute(_CALLS, (self._tenant.id, since)):
                events.setdefault((callback_id, topic), at)
        return (
            [
                _between(events.get((one, "callback.scheduled.v1")), events.get((one, "callback.attempt_started.v1")))
                for one in ids
            ],
            [_between(events.get((one, "callback.attempt_started.v1")), before.get(one)) for one in ids],
            [_between(events.get((one, "callback.finished.v1")), after.get(one)) for one in ids],
        )


def _between(begin: datetime | None, end: datetime | None) -> float:
    return PATIENCE_S if begin is None or end is None else max(0.0, (end - begin).total_seconds())
