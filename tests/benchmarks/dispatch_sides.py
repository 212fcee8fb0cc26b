"""Two databases side by side, which differ in how much they hold: how late the real dispatcher dials calls in each.

One dispatcher runs at a time, in this process, with the simulated network. The sides are measured alternately, so that a slow
phase of the machine affects both.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

from application.ports.call_gateway import Call, PlaceResult
from infrastructure.dispatch.attempt_starter import AttemptStarter
from infrastructure.dispatch.due_queue import find_startable
from infrastructure.dispatch.organization_turns import read_turns
from infrastructure.dispatch.timetable_news import LONG_AGO
from infrastructure.gateways.simulated.client import SimulatedGateway
from infrastructure.gateways.simulated.network import Network
from infrastructure.postgres.migrations import migrate
from tests.benchmarks.support import Bench
from tests.support.dispatching import ANSWERS, Exchange, open_exchange
from tests.support.waiting import eventually_async

CALLS = 120
_WINDOW_S = 1.5
_LEAD_S = 0.6  # by then the dispatcher leads, and knows whose turn it is
_SCHEDULING_S = 0.0005
_SPEED = 100.0  # a call takes 0.14 s
_SOON_S = 3600.0
_TIMEOUT_S = 60.0


class RecordingGateway(SimulatedGateway):
    """A client of the simulated network that notes when each number of A is dialled."""

    def __init__(self, address: str, dialled: dict[str, datetime]) -> None:
        """Note the first dial of each number in ``dialled``."""
        super().__init__(address)
        self._dialled = dialled

    async def place(self, call: Call) -> PlaceResult:
        """See the port."""
        self._dialled.setdefault(call.a_number, datetime.now(UTC))
        return await super().place(call)


class Side:
    """A database with a dispatcher, and the queues in which calls are measured."""

    def __init__(self, exchange: Exchange, size: int) -> None:
        """Measure calls on ``exchange``; ``size`` is how much the database is going to hold."""
        self.exchange = exchange
        self.size = size
        self.queues: list[int] = []
        self.organization = 1
        self._dialled: dict[str, datetime] = {}
        self._numbers = (f"+7701{n // 1000:03}1{n % 1000:03}" for n in count(1))  # 1 at this place: A answers

    def dispatch(self) -> asyncio.Task[None]:
        """Start a dispatcher."""
        return self.exchange.dispatch(connect=lambda: RecordingGateway(self.exchange.address, self._dialled))

    async def lateness(self, calls: int = CALLS, seconds: float = _WINDOW_S) -> list[float]:
        """Return by how many seconds each call was dialled late, of calls that are due at random times."""
        due = await self.schedule(calls, seconds)
        dispatching = self.dispatch()
        await eventually_async(lambda: _are_dialled(due, self._dialled), timeout=_TIMEOUT_S)
        await self.exchange.stop(dispatching)
        return [(self._dialled[number] - at).total_seconds() for number, at in due.items()]

    async def schedule(self, calls: int, seconds: float) -> dict[str, datetime]:
        """Schedule calls in the queues that are measured, due at random times in these seconds; return A's numbers."""
        random, begin = Random(calls), datetime.now(UTC) + timedelta(seconds=_LEAD_S + calls * _SCHEDULING_S)
        due = {next(self._numbers): begin + timedelta(seconds=random.uniform(0, seconds)) for _ in range(calls)}
        queues = random.sample(self.queues, min(len(self.queues), 10))
        for turn, queue in enumerate(queues):
            mine = [*due][turn :: len(queues)]
            ids = await self.exchange.callbacks(queue, mine, due_in_s=86_400, organization_id=self.organization)
            await self.exchange.do(
                "UPDATE perezvon_1.timetable AS t SET due_at = p.due_at"
                " FROM unnest(%s::bigint[], %s::timestamptz[]) AS p (id, due_at) WHERE t.callback_id = p.id",
                ids,
                [due[number] for number in mine],
            )
        await self.exchange.notify()
        assert datetime.now(UTC) < begin, "scheduling took longer than the lead"
        return due

    async def search_seconds(self, times: int) -> list[float]:
        """Return how long each search for calls of the measured organisation takes, from the floor that the leader knows."""
        seconds: list[float] = []
        await self.exchange.callbacks(
            self.queues[0], [ANSWERS], due_in_s=_SOON_S, organization_id=self.organization
        )  # for what has nothing to start is not searched
        turns = {row.organization_id: row for row in await read_turns(self.exchange.owner)}
        floor = turns[self.organization].startable_at or LONG_AGO
        for _ in range(times):
            began = time.perf_counter()
            await find_startable(self.exchange.owner, [self.organization], [floor])
            seconds.append(time.perf_counter() - began)
        return seconds

    async def start_seconds(self, times: int, calls: int) -> list[float]:
        """Return how long each start of that many calls takes; one of them is in a measured queue."""
        await self.exchange.callbacks(self.queues[0], [ANSWERS] * times, organization_id=self.organization)
        seconds: list[float] = []
        async with self.exchange.leading() as term:
            starter = AttemptStarter(term)
            term.turns.load(await read_turns(self.exchange.owner))
            for _ in range(times):
                began = time.perf_counter()
                assert await starter.seconds_to_next() <= 0
                batch = await starter.start(calls)
                seconds.append(time.perf_counter() - began)
                organizations = [one.open_call.organization_id for one in batch.started]
                assert len(organizations) == calls
                assert organizations.count(self.organization) == 1
        return seconds


async def _are_dialled(due: dict[str, datetime], dialled: dict[str, datetime]) -> bool:
    return due.keys() <= dialled.keys()


@asynccontextmanager
async def two_sides(bench: Bench, name: str, sizes: Sequence[int]) -> AsyncGenerator[list[Side]]:
    """Yield a side for each size, each with an empty database."""
    async with AsyncExitStack() as stack:
        sides: list[Side] = []
        for size in sizes:
            dsn = bench.database(f"growth_{name}_{size}")
            await asyncio.to_thread(migrate, dsn)
            sides.append(Side(await stack.enter_async_context(open_exchange(dsn, Network(speed=_SPEED))), size))
        yield sides
