"""Queues filled with callbacks, and the processes that dial them: a worker and the simulated network."""

import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from application.callback_queues import NewQueue, QueueChange
from application.callers import Caller, Request
from application.new_callbacks import NewCallback
from application.webhook_options import WebhookOptions
from domain.callback_queue.events import QueueStatus
from domain.permissions import Role
from infrastructure.operations.subscribers import HANDLERS
from infrastructure.postgres.connections import service_dsn
from interfaces.bootstrap.services import Services, services
from tests.chaos.processes import Process
from tests.support.secrets_key import ENVIRONMENT
from tests.support.waiting import eventually

ANSWERS = "+77010001001"
AT_ONCE = 2000
CLI = ("-c", "from interfaces.cli import main; main()")


class CallQueue:
    """A queue in a new organisation. It is off at first."""

    def __init__(self, opened: Services, request: Request, queue_id: int) -> None:
        """Wrap an existing queue; ``CallQueue.make`` creates one."""
        self._services = opened
        self._request = request
        self.id = queue_id

    @classmethod
    async def make(cls, opened: Services, limit: int) -> "CallQueue":
        """Create an organisation and a queue with a limit of concurrent calls."""
        admin = Request(request_id="bench")
        organization = await opened.organizations.create("Bench", admin)
        caller = Caller(organization_id=organization.id, token_id="bench", role=Role.ADMIN)
        request = Request(request_id="bench", caller=caller)
        made = await opened.queues.create(NewQueue(name="Bench", concurrent_task_limit=limit), request)
        return cls(opened, request, made.queue.id)

    def over(self, opened: Services) -> "CallQueue":
        """Return the same queue, reached over other connections."""
        return CallQueue(opened, self._request, self.id)

    async def schedule(self, due: Sequence[datetime], number: str = ANSWERS, **fields: Any) -> None:
        """Schedule a callback to ``number`` for each due time."""
        await self.put([NewCallback(a_number=number, b_number="1001", start_time=at, **fields) for at in due])

    async def put(self, callbacks: Sequence[NewCallback]) -> None:
        """Schedule the callbacks, ``AT_ONCE`` in a command."""
        for first in range(0, len(callbacks), AT_ONCE):
            await self._services.callbacks.schedule(self.id, callbacks[first : first + AT_ONCE], self._request)

    async def switch_on(self) -> None:
        """Turn the queue on, so that due callbacks are dialled."""
        await self._services.queues.change(self.id, QueueChange(status=QueueStatus.ON), self._request)


@asynccontextmanager
async def call_queue(dsn: str, limit: int, webhooks: WebhookOptions | None = None) -> AsyncGenerator[CallQueue]:
    """Yield a new queue in a migrated database."""
    async with services(service_dsn(dsn), webhooks) as opened:
        yield await CallQueue.make(opened, limit)


class Exchange(msgspec.Struct, frozen=True):
    """The processes that dial, and the address of the simulated network."""

    worker: Process
    simulator: Process
    address: str


@contextmanager
def dialling(dsn: str, *network: str, speed: str = "1e9") -> Generator[Exchange]:
    """Run a worker and a simulated network, whose durations are divided by ``speed``.

    If ``network`` is given, that program with its arguments runs in place of the simulator.
    """
    folder = Path(tempfile.mkdtemp(prefix="perezvon-bench-"))
    address = str(folder / "network")
    environment = {
        **ENVIRONMENT,
        "PEREZVON_DATABASE_URL": service_dsn(dsn),
        "PEREZVON_GATEWAY": "simulated",
        "PEREZVON_SIMULATOR_ADDRESS": address,
        "PEREZVON_SIMULATED_SPEED": speed,
        "PEREZVON_LOG_LEVEL": "warning",
    }
    program = (*network, address) if network else (*CLI, "simulator", "--address", address)
    simulator = Process(*program, environment=environment, log=folder / "network.log")
    worker = Process(*CLI, "work", environment=environment, log=folder / "worker.log")
    simulator.start()
    try:
        eventually(Path(address).exists, timeout=30)
        worker.start()
        yield Exchange(worker, simulator, address)
    finally:
        worker.end()
        simulator.end()


def number_in(dsn: str, query: str) -> int:
    """Return the number that a query selects, or 0."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return int(row[0] or 0) if row else 0


def views_are_up(dsn: str) -> bool:
    """Return whether every view and every policy has caught up with the log."""
    head = number_in(dsn, "SELECT max(notification_id) FROM perezvon_1.stored_events")
    return number_in(dsn, f"SELECT count(*) FROM perezvon_1.checkpoints WHERE position >= {head}") >= len(HANDLERS)
