"""A database with due callbacks, a simulated network behind a socket, and dispatchers between them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from application.phone_line_key import line_key
from application.policies.notify_webhooks import Message
from domain.callback.callback import Callback, replay
from domain.callback.events import CallbackDetails, CallbackScheduled
from domain.model import Envelope, Fact, Recorded, tag_of
from domain.organization.limits import Limits
from domain.streams import callback_stream
from infrastructure.dispatch.attempt_starter import AttemptStarter
from infrastructure.dispatch.call_placer import Announce
from infrastructure.dispatch.dispatcher import Connect
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.dispatch.lease import Lease
from infrastructure.dispatch.organization_turns import read_turns
from infrastructure.dispatch.pacing import UNLIMITED, Pace, Pacing
from infrastructure.dispatch.started_attempt import StartedAttempt
from infrastructure.event_log.append import APPEND, Command, append_batch
from infrastructure.event_log.codec import encode
from infrastructure.event_log.decisions import read_streams
from infrastructure.event_log.identity import read_identity
from infrastructure.gateways.simulated.address import listen
from infrastructure.gateways.simulated.client import SimulatedGateway
from infrastructure.gateways.simulated.network import Network
from infrastructure.gateways.simulated.server import serving
from infrastructure.postgres.connections import Pool, service_dsn
from tests.support.waiting import eventually_async
from tests.support.worker_parts import dispatch

GATEWAY = "simulated"
ANSWERS, BUSY, RINGS = "+77010001001", "+77010002001", "+77010003001"
CALL_CENTRE = "1001"
FAST = 50.0  # a call rings for 0.04 s a leg, and is talked for 0.2 s

_numbers = count(1)


async def tell_nobody(messages: Sequence[Message], leased_to: UUID) -> None:
    """Announce nothing before the dial."""


class Starting:
    """Starts attempts by hand; before each step it reads whose turn it is, as a leader without notifications does."""

    def __init__(self, term: LeadershipTerm) -> None:
        """Start attempts in the term."""
        self.starter = AttemptStarter(term)
        self._term = term

    async def start(self, limit: int) -> Sequence[StartedAttempt]:
        """Start a batch."""
        await self._read_turns()
        return (await self.starter.start(limit)).started

    async def seconds_to_next(self) -> float:
        """Return the seconds until an attempt can start."""
        await self._read_turns()
        return await self.starter.seconds_to_next()

    async def _read_turns(self) -> None:
        await self.starter.release_lines()
        async with self._term.pool.connection() as connection:
            self._term.turns.load(await read_turns(connection))


class Exchange:
    """Queues and due callbacks as the policies create them, dispatchers that dial them, and the recorded results."""

    def __init__(self, dsn: str, owner: AsyncConnection, network: Network, address: str) -> None:
        """Work on the database as its owner; the network listens at ``address``."""
        self.dsn = dsn
        self.owner = owner
        self.network = network
        self.address = address
        self._running: dict[asyncio.Task[None], asyncio.Event] = {}

    @asynccontextmanager
    async def network_up(self) -> AsyncGenerator[None]:
        """Make the network reachable; it keeps its state afterwards."""
        async with serving(self.network, listen(self.address)):
            yield

    async def queue(self, slots: int = 100, *, is_on: bool = True, organization_id: int = 1) -> int:
        """Create a queue; return its id."""
        queue_id = next(_numbers) * 64 + 1
        await self.do(
            "INSERT INTO perezvon_1.queue_slots (queue_id, organization_id, is_on, slots) VALUES (%s, %s, %s, %s)",
            queue_id,
            organization_id,
            is_on,
            slots,
        )
        return queue_id

    async def callbacks(
        self, queue_id: int, a_numbers: Sequence[str], *, due_in_s: float = 0.0, organization_id: int = 1, **fields: Any
    ) -> list[int]:
        """Schedule callbacks, due a moment apart in this order; return their ids."""
        ids = [next(_numbers) * 64 + 1 for _ in a_numbers]
        now = datetime.now(UTC)
        commands = [
            _command(
                callback_stream(callback_id), organization_id, [_scheduled(callback_id, queue_id, number, now, fields)]
            )
            for callback_id, number in zip(ids, a_numbers, strict=True)
        ]
        async with self.owner.transaction():
            verdicts = await append_batch(self.owner, commands)
            await self.do(
                "INSERT INTO perezvon_1.timetable SELECT c.id, %s, %s,"
                " clock_timestamp() + make_interval(secs => %s + c.n * 0.000001), c.position, c.a_line, c.b_line"
                " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])"
                " WITH ORDINALITY AS c (id, position, a_line, b_line, n)",
                queue_id,
                organization_id,
                due_in_s,
                ids,
                [position for _, position, _ in verdicts],
                [line_key(organization_id, number) for number in a_numbers],
                [line_key(organization_id, CALL_CENTRE)] * len(ids),
            )
            await self.notify()
        return ids

    async def notify(self) -> None:
        """Wake dispatchers, as keep_timetable does."""
        await self.do("SELECT pg_notify('timetable', '')")

    async def append(
        self, callback_id: int, *facts: Fact, version: int, connection: AsyncConnection | None = None
    ) -> None:
        """Append facts of a callback, as another process does."""
        command = _command(callback_stream(callback_id), 1, facts, version)
        ((verdict, *_),) = await append_batch(connection or self.owner, [command])
        assert verdict == "appended"

    async def append_unreadable(self, callback_id: int, *, version: int) -> None:
        """Append an event of an unknown type to a callback."""
        stream, tag = callback_stream(callback_id), "callback.exploded.v1"
        await self.owner.execute(APPEND, ([1], [stream], [version], [tag], [b"{}"], [1], ["x"], [None], [None], [None]))

    @asynccontextmanager
    async def leading(self) -> AsyncGenerator[LeadershipTerm]:
        """Lead the gateway without running any loop."""
        pool = Pool(service_dsn(self.dsn), size=3, name="test")
        try:
            lease, identity = Lease(pool, GATEWAY), await read_identity(self.owner)
            assert await lease.acquire()
            gateway = SimulatedGateway(self.address)
            term = LeadershipTerm(
                lease, pool, gateway, identity, Pacing(), due=asyncio.Event(), hang_up=asyncio.Event()
            )
            yield term
            await lease.release()
        finally:
            await pool.close()

    def dispatch(
        self,
        *,
        announce: Announce = tell_nobody,
        connect: Connect | None = None,
        pace: Pace = UNLIMITED,
        limits: Limits | None = None,
    ) -> asyncio.Task[None]:
        """Start a dispatcher."""
        stop, connect = asyncio.Event(), connect or (lambda: SimulatedGateway(self.address))
        dispatching = dispatch(
            service_dsn(self.dsn), connect, stop, gateway=GATEWAY, announce=announce, pace=pace, limits=limits
        )
        task = asyncio.create_task(dispatching)
        self._running[task] = stop
        return task

    async def stop(self, *tasks: asyncio.Task[None]) -> None:
        """Drain and stop these dispatchers, or all; wait also for those that were cancelled."""
        ending = [task for task in self._running if not tasks or task in tasks]
        for task in ending:
            self._running[task].set()
        for outcome in await asyncio.gather(*ending, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        for task in ending:
            del self._running[task]

    async def histories(self, ids: Sequence[int]) -> Mapping[int, Sequence[Recorded[Any]]]:
        """Return the facts of callbacks."""
        streams = await read_streams(self.owner, [callback_stream(callback_id) for callback_id in ids])
        return {callback_id: streams[callback_stream(callback_id)] for callback_id in ids}

    async def tags(self, callback_id: int) -> list[str]:
        """Return the tags of a callback's facts, without their common prefix and suffix."""
        facts = (await self.histories([callback_id]))[callback_id]
        return [tag_of(event.fact).removeprefix("callback.").removesuffix(".v1") for event in facts]

    async def callback(self, callback_id: int) -> Callback:
        """Return a callback's present state."""
        callback = replay((await self.histories([callback_id]))[callback_id])
        assert callback is not None
        return callback

    async def all_started(self, ids: Sequence[int]) -> None:
        """Wait until an attempt of each callback was started."""

        async def started() -> bool:
            histories = await self.histories(ids)
            return all(one and one.attempt for one in map(replay, histories.values()))

        await eventually_async(started)

    async def all_ended(self, ids: Sequence[int]) -> None:
        """Wait until an attempt of each callback was started and its call has ended."""

        async def ended() -> bool:
            histories = await self.histories(ids)
            callbacks = [replay(facts) for facts in histories.values()]
            return all(one and one.attempt and not one.call_runs for one in callbacks)

        await eventually_async(ended, timeout=30)

    async def do(self, statement: str, *values: Any) -> None:
        """Run a statement as the owner."""
        await self.owner.execute(statement.encode(), values)

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query, run as the owner."""
        return await (await self.owner.execute(query.encode(), values)).fetchall()


def _scheduled(
    callback_id: int, queue_id: int, number: str, now: datetime, fields: dict[str, Any]
) -> CallbackScheduled:
    details = CallbackDetails(subject=callback_stream(callback_id), a_number=number, b_number=CALL_CENTRE)
    defaults: dict[str, Any] = {"try_count": 1, "try_again_pause": 60, "start_time": now}
    return CallbackScheduled(**(defaults | fields), queue_id=queue_id, personal=details)


def _command(stream: str, organization_id: int, facts: Sequence[Fact], version: int = 0) -> Command:
    envelope = Envelope(
        organization_id=organization_id, actor="token/t1", causation="request-1", correlation="request-1"
    )
    states = [encode(fact) for fact in facts]
    return Command(stream=stream, version=version, facts=facts, states=states, envelope=envelope)


@asynccontextmanager
async def open_exchange(dsn: str, network: Network | None = None, *, is_up: bool = True) -> AsyncGenerator[Exchange]:
    """Open everything, with the network's socket if it is up; drain and stop the dispatchers at the end."""
    with TemporaryDirectory() as folder:
        async with await AsyncConnection.connect(dsn, autocommit=True) as owner:
            exchange = Exchange(dsn, owner, network or Network(speed=FAST), str(Path(folder, "network")))
            async with exchange.network_up() if is_up else nullcontext():
                try:
                    yield exchange
                finally:
                    await exchange.stop()
