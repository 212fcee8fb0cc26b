"""Organisation A, a process of its own: overload of everything that organisations share, with half a core.

Arguments: the service as JSON, the tenant as JSON. It prints a line when it is prepared, and runs until killed, or until
the run that started it has ended.
"""

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import aiohttp
import msgspec

from interfaces.processes.parent_watch import end_with_parent
from tests.chaos.neighbour.service import Service, Tenant

CONGESTED, UNKNOWN, ANSWERS, RINGS = 6, 5, 1, 3
SILENT_ORIGINS = 5000
FIRST_ATTEMPTS = 2000
DEAD_NAMES = 48
SEARCHES = 40
HISTORY_EVENTS = 900
READERS = 8
STALLED_BODIES = 60

_QUEUES = "/api/ver1.0/client/@me/task_scheduler/"
_CORE_SHARE = 0.5
_BATCH = 500
_BODY_BYTES = 8 << 20
_STRANGER = "127.0.0.2"
_LETTERS = "абвгдеклмнопрст"


class Hostile:
    """The software of organisation A."""

    def __init__(self, service: Service, tenant: Tenant, session: aiohttp.ClientSession) -> None:
        """Send requests over ``session``."""
        self._service, self._tenant, self._session = service, tenant, session
        self._headers = {"Authorization": f"Bearer {tenant.token}"}
        self._numbers = count()
        self._queues: dict[str, int] = {}
        self._long_task = ""

    async def prepare(self) -> None:
        """Create queues, a long history, and callbacks that overload the switch and the webhooks."""
        for name, limit in {"congested": 200, "origins": 200, "announced": 200, "talking": 500}.items():
            wanted = {"name": name, "status": "on", "concurrent_task_limit": limit}
            self._queues[name] = (await self._send("POST", _QUEUES, wanted))["id"]
        await self._send("PATCH", "/v1/organization/settings", {"callback_queue": self._queues["congested"]})
        await self._file_long_task()
        await self._overload_switch()
        await self._overload_webhooks()

    async def run(self) -> None:
        """Send too much of everything until cancelled."""
        loops: Sequence[Callable[[], Awaitable[None]]] = (
            *[self._search] * SEARCHES,
            *[self._read_history] * READERS,
            self._refill,
            *[self._send_huge_body] * 2,
            self._guess_tokens,
        )
        stalled = [self._stall_body() for _ in range(STALLED_BODIES)]
        await asyncio.gather(*(self._forever(loop) for loop in loops), *stalled)

    async def _file_long_task(self) -> None:
        body = {"operator_id": self._tenant.operator, "title": "Длинная история", "transcription": "слово " * 5000}
        self._long_task = (await self._send("POST", "/api/tasks", body))["id"]
        for _ in range(HISTORY_EVENTS // 2):
            for status in ("in_progress", "failed"):
                with suppress(aiohttp.ClientResponseError):
                    await self._send("PUT", f"/api/tasks/{self._long_task}/status", {"status": status})
            with suppress(aiohttp.ClientResponseError):
                await self._send("POST", f"/api/tasks/{self._long_task}/reprocess", {})

    async def _overload_switch(self) -> None:
        await self._schedule("congested", 50, CONGESTED, same_number=True, try_count=50, try_again_pause="0")
        await self._schedule("talking", 300, ANSWERS)
        for _ in range(60):
            body = {
                "operator_id": self._tenant.operator,
                "title": "x",
                "type": "callback",
                "caller_phone": _number(CONGESTED, 1),
            }
            with suppress(aiohttp.ClientResponseError):
                await self._send("POST", "/api/tasks", body, {})

    async def _overload_webhooks(self) -> None:
        await self._schedule("origins", SILENT_ORIGINS, UNKNOWN, url_after=self._silent_origin)
        await self._schedule("announced", FIRST_ATTEMPTS, UNKNOWN, url_before=self._silent_origin)
        if self._service.serves_names:
            await self._schedule("origins", 20 * DEAD_NAMES, UNKNOWN, url_after=_dead_name)

    async def _refill(self) -> None:
        await self._overload_switch()
        await self._schedule("announced", 200, UNKNOWN, url_before=self._silent_origin)
        if self._service.serves_names:
            await self._schedule("origins", 2 * DEAD_NAMES, UNKNOWN, url_after=_dead_name)
        await asyncio.sleep(5)

    async def _schedule(self, queue: str, many: int, digit: int, *, same_number: bool = False, **fields: Any) -> None:
        """Schedule callbacks to numbers with this thousands digit; a field that is a function is called for each."""
        for first in range(0, many, _BATCH):
            tasks = [
                {
                    "a_number": "1001",
                    "b_number": _number(digit, 1 if same_number else next(self._numbers)),
                    **{name: value(number) if callable(value) else value for name, value in fields.items()},
                }
                for number in range(first, min(first + _BATCH, many))
            ]
            with suppress(aiohttp.ClientResponseError):
                await self._send("POST", f"{_QUEUES}{self._queues[queue]}/task/", {"tasks": tasks})

    def _silent_origin(self, number: int) -> str:
        return f"http://127.{1 + number // 65025}.{number // 255 % 255}.{1 + number % 254}:{self._service.silent_port}/"

    async def _search(self) -> None:
        letters = "".join(random.choices(_LETTERS, k=2))
        await self._ask("GET", "/api/tasks", params={"search": letters})

    async def _read_history(self) -> None:
        await self._ask("GET", f"/api/tasks/{self._long_task}/history")

    async def _send_huge_body(self) -> None:
        await self._ask("POST", "/api/tasks", data=b'{"title": [' + b"1," * (_BODY_BYTES // 2 - 20) + b"1]}")

    async def _guess_tokens(self) -> None:
        await self._ask("GET", "/api/tasks", headers={"Authorization": "Bearer pz_000000000000_" + "0" * 64})

    async def _stall_body(self) -> None:
        """Send the head of a large request and then a byte a second, without a token."""
        host, _, port = self._service.url.removeprefix("http://").partition(":")
        while True:
            with suppress(OSError, TimeoutError):
                _, writer = await asyncio.open_connection(host, int(port), local_addr=(_STRANGER, 0))
                try:
                    writer.write(b"POST /api/tasks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
                    writer.write(b"content-length: %d\r\n\r\n" % _BODY_BYTES)
                    while not writer.is_closing():
                        writer.write(b" ")
                        await writer.drain()
                        await asyncio.sleep(1)
                finally:
                    writer.close()
            await asyncio.sleep(1)

    async def _forever(self, act: Callable[[], Awaitable[None]]) -> None:
        """Repeat without a pause, within the share of a core that this process may use."""
        while True:
            try:
                await act()
            except (aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.sleep(0.1)
            await throttle()

    async def _send(self, method: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        given = self._headers if headers is None else headers
        await throttle()
        async with self._session.request(method, self._service.url + path, json=body, headers=given) as response:
            response.raise_for_status()
            return await response.json()

    async def _ask(self, method: str, path: str, **options: Any) -> None:
        options.setdefault("headers", self._headers)
        async with self._session.request(method, self._service.url + path, **options) as response:
            async for _ in response.content.iter_chunked(1 << 16):
                pass


_began = time.monotonic()


async def throttle() -> None:
    """Wait while this process has used more than half a core."""
    excess = time.process_time() - _CORE_SHARE * (time.monotonic() - _began) - 1
    if excess > 0:
        await asyncio.sleep(excess / _CORE_SHARE)


def _number(digit: int, number: int) -> str:
    return f"+7702{number // 1000 % 1000:03}{digit}{number % 1000:03}"


def _dead_name(number: int) -> str:
    return f"http://dead-{number % DEAD_NAMES}.test:9/"


async def main(service: Service, tenant: Tenant) -> None:
    """Prepare, print a line, and overload until killed."""
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        hostile = Hostile(service, tenant, session)
        await hostile.prepare()
        print("prepared", flush=True)
        await hostile.run()


if __name__ == "__main__":
    end_with_parent()
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Service), msgspec.json.decode(sys.argv[2], type=Tenant)))
