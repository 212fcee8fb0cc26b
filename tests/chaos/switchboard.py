"""A queue full of callbacks, the worker processes and the simulated network that dial them, and a receiver of webhooks."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import psycopg

from application.destinations import networks_of
from application.scheduling import NewCallback
from application.webhooks import WebhookOptions
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.network import Counts
from tests.benchmarks.callbacks import call_queue, number_in, views_are_up
from tests.chaos.processes import CLI, Process
from tests.support.receiving import Receiver, receiving
from tests.support.waiting import eventually, eventually_async

LIMIT = 3
KINDS = ("before", "before_again", "success", "after")

_LOOPBACK = "127.0.0.0/8"
_SPEED = 200  # an answered call lasts 70 ms, one that rings in vain up to 160 ms
_AGENTS = "111111111278"  # thousands digits, which decide how a phone behaves
_CUSTOMERS = "1111111188888882345679"
_TRIES = (1, 2, 3)
_PAUSES_S = (0, 1, 2)

_FINISHED = "SELECT count(*) FROM perezvon_1.stored_events WHERE topic = 'callback.finished.v1'"
_UNSETTLED = (
    "SELECT (SELECT count(*) FROM perezvon_1.open_calls WHERE started_at < now() - interval '1 s')"
    " + (SELECT count(*) FROM perezvon_1.gateway_leases WHERE until < now() OR NOT link_up)"
)
_LEFT = (
    "SELECT (SELECT count(*) FROM perezvon_1.open_calls)"
    " + (SELECT count(*) FROM perezvon_1.webhook_deliveries WHERE state = 'pending')"
)


class Switchboard:
    """The processes, and what can be asked while some of them are killed."""

    def __init__(self, dsn: str, folder: Path, receiver: Receiver, *, workers: int) -> None:
        """Use a migrated database; logs and the network's socket go to ``folder``."""
        self.dsn = dsn
        self.receiver = receiver
        self.callbacks = 0
        self._address = str(folder / "network")
        environment = {
            "PEREZVON_DATABASE_URL": dsn,
            "PEREZVON_GATEWAY": "simulated",
            "PEREZVON_SIMULATOR_ADDRESS": self._address,
            "PEREZVON_SIMULATED_SPEED": str(_SPEED),
            "PEREZVON_WEBHOOK_ALLOW_NETS": _LOOPBACK,
            "PEREZVON_WEBHOOK_TIMEOUT_SECONDS": "2",
        }
        simulator = (*CLI, "simulator", "--address", self._address)
        self._network = Process(*simulator, environment=environment, log=folder / "network.log")
        self.workers = [
            Process(*CLI, "work", environment=environment, log=folder / f"worker{number}.log")
            for number in range(workers)
        ]

    def start(self) -> None:
        """Start the network, then the workers."""
        self._network.start()
        eventually(Path(self._address).exists, timeout=60)
        for worker in self.workers:
            worker.start()

    def end(self) -> None:
        """End the workers in good order, then the network."""
        for process in (*self.workers, self._network):
            process.end()

    async def fill(self, callbacks: int, seed: int) -> None:
        """Open a queue and have so many people called back: numbers, tries and pauses are mixed."""
        self.callbacks = callbacks
        random = Random(seed)
        async with call_queue(self.dsn, LIMIT, WebhookOptions(opened=networks_of(_LOOPBACK))) as queue:
            await queue.put([_callback(self.receiver.url, number, random) for number in range(callbacks)])
            await queue.switch_on()

    async def counts(self) -> Counts:
        """Answer what the network counted."""
        async with Control(self._address) as control:
            return await control.counts()

    async def dialled(self, more: int, *, timeout: float = 60.0) -> None:  # noqa: ASYNC109 - it bounds the tries
        """Wait until so many more calls were dialled, or all callbacks have come to their end."""
        aim = (await self.counts()).placed + more

        async def reached() -> bool:
            return (await self.counts()).placed >= aim or self._finished()

        await eventually_async(reached, timeout=timeout)

    async def settled(self) -> None:
        """Wait until a worker leads, and no call is open that has ended or was never dialled."""
        await self._until(lambda: number_in(self.dsn, _UNSETTLED) == 0, timeout=60)

    async def over(self, timeout: float) -> None:  # noqa: ASYNC109 - it bounds the tries
        """Wait until all callbacks have come to their end, all webhooks are delivered, and every view shows it."""
        await self._until(self._is_over, timeout=timeout)

    async def _until(self, holds: Callable[[], bool], *, timeout: float) -> None:  # noqa: ASYNC109 - as above
        await asyncio.to_thread(eventually, holds, timeout=timeout)

    def _finished(self) -> bool:
        return number_in(self.dsn, _FINISHED) >= self.callbacks

    def _is_over(self) -> bool:
        return self._finished() and number_in(self.dsn, _LEFT) == 0 and views_are_up(self.dsn)

    def let_leases_run_out(self) -> None:
        """Let so much time pass, for webhooks alone, that those which a dead worker had in hand are due again."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("UPDATE perezvon_1.webhook_lanes SET lease_until = 'epoch'")
            connection.execute("UPDATE perezvon_1.webhook_deliveries SET due_at = now() WHERE state = 'pending'")
            connection.execute("NOTIFY webhooks")


def _callback(url: str, number: int, random: Random) -> NewCallback:
    agent, customer = random.choice(_AGENTS), random.choice(_CUSTOMERS)
    return NewCallback(
        name=f"Заказ {number}",
        a_number=f"{agent}{number % 1000:03}",
        b_number=f"+7701{number // 1000:03}{customer}{number % 1000:03}",
        start_time=datetime.now(UTC),
        try_count=random.choice(_TRIES),
        try_again_pause=random.choice(_PAUSES_S),
        **{f"url_{kind}": f"{url}/{kind}" for kind in KINDS},
    )


@asynccontextmanager
async def switchboard(dsn: str, folder: Path, *, workers: int) -> AsyncGenerator[Switchboard]:
    """Lend running workers and a network, and end them."""
    async with receiving() as receiver:
        board = Switchboard(dsn, folder, receiver, workers=workers)
        try:
            await asyncio.to_thread(board.start)
            yield board
        finally:
            await asyncio.to_thread(board.end)
