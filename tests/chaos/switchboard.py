"""A queue full of callbacks, the worker processes and the simulated network that dial them, and a receiver of webhooks."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from psycopg import AsyncConnection

from application.new_callbacks import NewCallback
from application.webhook_options import WebhookOptions
from application.webhook_targets import TargetPolicy, networks_of
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.network import Counts
from infrastructure.postgres.connections import service_dsn
from interfaces.bootstrap.services import services
from tests.benchmarks.callbacks import CallQueue, call_queue, number_in, views_are_up
from tests.chaos.nursery import Nursery
from tests.chaos.processes import show_logs
from tests.support.receiving import Receiver, receiving
from tests.support.secrets_key import ENVIRONMENT
from tests.support.waiting import eventually, eventually_async

LIMIT = 3

_KINDS = ("before", "before_again", "success", "after")
_LOOPBACK = "127.0.0.0/8"
_WEBHOOKS = WebhookOptions(targets=TargetPolicy(networks_of(_LOOPBACK)))
_SPEED = 200  # an answered call lasts 70 ms, one that rings in vain up to 160 ms
_AGENTS = "111111111278"  # thousands digits, which decide how a phone behaves
_CUSTOMERS = "1111111111188882345679"
_PATIENCE_S = 120.0
_TRIES = (1, 2, 2, 3)
_PAUSES_S = (0, 1)

_FINISHED = "SELECT count(*) FROM perezvon_1.stored_events WHERE topic = 'callback.finished.v1'"
_UNSETTLED = (
    "SELECT (SELECT count(*) FROM perezvon_1.open_calls WHERE started_at < now() - interval '1 s')"
    " + (NOT EXISTS (SELECT FROM perezvon_1.gateway_leases WHERE until > now() AND link_up))::int"
)
_LEFT = (
    "SELECT (SELECT count(*) FROM perezvon_1.open_calls)"
    " + (SELECT count(*) FROM perezvon_1.webhook_deliveries WHERE state = 'pending')"
)


class Switchboard:
    """The processes, and queries that work while some of them are killed."""

    def __init__(
        self, dsn: str, folder: Path, receiver: Receiver, nursery: Nursery, *, workers: int, service: str | None = None
    ) -> None:
        """Use a migrated database; logs and the network's socket go to ``folder``.

        ``service`` is the address for the workers, ``dsn`` that of the owner.
        """
        self.dsn = dsn
        self.receiver = receiver
        self.callbacks = 0
        self._address = str(folder / "network")
        environment = {
            **ENVIRONMENT,
            "PEREZVON_DATABASE_URL": service or service_dsn(dsn),
            "PEREZVON_GATEWAY": "simulated",
            "PEREZVON_SIMULATOR_ADDRESS": self._address,
            "PEREZVON_SIMULATED_SPEED": str(_SPEED),
            "PEREZVON_WEBHOOK_ALLOW_NETS": _LOOPBACK,
            "PEREZVON_WEBHOOK_TIMEOUT_SECONDS": "2",
        }
        network = ("simulator", "--address", self._address)
        self._network = nursery.process(*network, environment=environment, log=folder / "network.log")
        self._workers = [
            nursery.process("work", environment=environment, log=folder / f"worker{number}.log")
            for number in range(workers)
        ]

    def start(self) -> None:
        """Start the network, then the workers."""
        self._network.start()
        eventually(Path(self._address).exists, timeout=60)
        for worker in self._workers:
            worker.start()

    def end(self) -> None:
        """Stop the workers, then the network."""
        for process in (*self._workers, self._network):
            process.end()

    async def fill(self, callbacks: int, seed: int) -> None:
        """Create a queue and schedule ``callbacks`` with mixed numbers, tries and pauses."""
        self._random = Random(seed)
        async with call_queue(self.dsn, LIMIT, _WEBHOOKS) as queue:
            self._queue = queue
            await self._put(queue, callbacks)
            await queue.switch_on()

    async def add(self, callbacks: int) -> None:
        """Schedule more of them in the same queue."""
        async with services(service_dsn(self.dsn), _WEBHOOKS) as opened:
            await self._put(self._queue.over(opened), callbacks)

    async def _put(self, queue: CallQueue, callbacks: int) -> None:
        numbers = range(self.callbacks, self.callbacks + callbacks)
        self.callbacks += callbacks
        await queue.put([_callback(self.receiver.url, number, self._random) for number in numbers])

    async def kill(self, number: int) -> None:
        """Kill a worker, and start it again."""
        await asyncio.to_thread(self._workers[number].kill)
        await asyncio.to_thread(self._workers[number].start)

    async def counts(self) -> Counts:
        """Return the counters of the network."""
        async with Control(self._address) as control:
            return await control.counts()

    async def dialled(self, more: int) -> int:
        """Wait until ``more`` calls were dialled or all callbacks have finished; return the number of new calls."""
        before = (await self.counts()).placed

        async def reached() -> bool:
            return (await self.counts()).placed >= before + more or self._finished()

        await eventually_async(reached, timeout=_PATIENCE_S)
        return (await self.counts()).placed - before

    async def settled(self) -> None:
        """Wait until a worker leads, and no open call has ended or was never dialled."""
        await self._until(lambda: number_in(self.dsn, _UNSETTLED) == 0, timeout=_PATIENCE_S)

    async def over(self, timeout: float) -> None:  # noqa: ASYNC109 - it bounds the tries
        """Wait until all callbacks have finished, all webhooks are delivered, and every view is up to date."""
        await self._until(self._is_over, timeout=timeout)

    async def expire_webhook_leases(self) -> None:
        """Expire the leases of webhook lanes, so that deliveries of a dead worker are due again."""
        async with await AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            await connection.execute("UPDATE perezvon_1.webhook_lanes SET lease_until = 'epoch', ready_at = now()")
            await connection.execute("UPDATE perezvon_1.webhook_deliveries SET due_at = now() WHERE state = 'pending'")
            await connection.execute("NOTIFY webhooks")

    async def _until(self, holds: Callable[[], bool], *, timeout: float) -> None:  # noqa: ASYNC109 - as above
        await eventually_async(lambda: asyncio.to_thread(holds), timeout=timeout)

    def _finished(self) -> bool:
        return number_in(self.dsn, _FINISHED) >= self.callbacks

    def _is_over(self) -> bool:
        return self._finished() and number_in(self.dsn, _LEFT) == 0 and views_are_up(self.dsn)


def _callback(url: str, number: int, random: Random) -> NewCallback:
    agent, customer = random.choice(_AGENTS), random.choice(_CUSTOMERS)
    urls: dict[str, Any] = {f"url_{kind}": f"{url}/{kind}" for kind in _KINDS}
    return NewCallback(
        name=f"Заказ {number}",
        a_number=f"4{agent}{number % 1000:03}",  # none begins with an emergency number
        b_number=f"+7701{number // 1000:03}{customer}{number % 1000:03}",
        start_time=datetime.now(UTC),
        try_count=random.choice(_TRIES),
        try_again_pause=random.choice(_PAUSES_S),
        **urls,
    )


@asynccontextmanager
async def switchboard(
    dsn: str, folder: Path, *, workers: int, service: str | None = None
) -> AsyncGenerator[Switchboard]:
    """Run workers and a network, and stop them; show their logs after a failure."""
    async with receiving() as receiver:
        with Nursery() as nursery:
            board = Switchboard(dsn, folder, receiver, nursery, workers=workers, service=service)
            try:
                await asyncio.to_thread(board.start)
                yield board
            except BaseException:
                show_logs(folder)
                raise
            finally:
                await asyncio.to_thread(board.end)
