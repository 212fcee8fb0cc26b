"""A worker killed before or after any statement of the dispatcher: no call twice, none lost, the limit kept."""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest
from psycopg import AsyncConnection, OperationalError

from application.ports.call_gateway import Call, CallState, PlaceResult
from infrastructure.dispatch import reconciler
from infrastructure.gateways.simulated.client import SimulatedGateway
from infrastructure.gateways.simulated.network import Network
from infrastructure.postgres.service_connection import ServiceConnection
from tests.support.callback_laws import check_history
from tests.support.dispatching import ANSWERS, BUSY, Exchange, open_exchange

pytestmark = pytest.mark.anyio

LIMIT = 2
LEAST_STATEMENTS = 40  # of a worker that is not interrupted
_STATEMENTS = {"_execute_gen", "_enter_gen", "_exit_gen"}  # of psycopg: a statement, BEGIN, COMMIT or ROLLBACK
_wait = ServiceConnection.wait
_kill_of_this_worker: ContextVar["Kill | None"] = ContextVar("kill", default=None)


class Kill:
    """SIGKILL of a worker at its statement ``number``: from then on it sends nothing to Postgres or to the switch."""

    def __init__(self, number: int, *, after: bool) -> None:
        """Kill once the statement was sent and its response received, or before it is sent."""
        self._number = number
        self._after = after
        self._seen = 0
        self._connections: set[AsyncConnection] = set()
        self.struck = asyncio.Event()

    async def wait(self, connection: ServiceConnection, generator: Any, *more: Any, **named: Any) -> Any:
        """Forward to psycopg, until the statement of the kill."""
        if self.struck.is_set():
            raise OperationalError("the worker is dead")
        self._connections.add(connection)
        counts = generator.__name__ in _STATEMENTS
        self._seen += counts
        strikes = counts and self._seen == self._number
        if not strikes:
            return await _wait(connection, generator, *more, **named)
        if self._after:
            await _wait(connection, generator, *more, **named)
        self.strike()
        raise OperationalError("the worker is dead")

    def strike(self) -> None:
        """Cut all connections, as the kernel does for a dead process."""
        self.struck.set()
        for connection in self._connections:
            if not connection.closed:
                with socket.socket(fileno=os.dup(connection.fileno())) as cut, suppress(OSError):
                    cut.shutdown(socket.SHUT_RDWR)


class Mortal(SimulatedGateway):
    """The client of a worker that may be dead."""

    def __init__(self, address: str, kill: Kill) -> None:
        super().__init__(address)
        self._kill = kill

    async def place(self, call: Call) -> PlaceResult:
        await self._speak()
        return await super().place(call)

    async def find(self, call_ids: Sequence[str]) -> Sequence[CallState]:
        await self._speak()
        return await super().find(call_ids)

    async def _speak(self) -> None:
        if self._kill.struck.is_set():
            await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def killing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(self: ServiceConnection, generator: Any, *more: Any, **named: Any) -> Any:
        kill = _kill_of_this_worker.get()
        return await (kill.wait if kill else _wait)(self, generator, *more, **named)

    monkeypatch.setattr(ServiceConnection, "wait", wait)
    monkeypatch.setattr(reconciler, "RECHECK_AFTER_S", 0.05)


async def kill_a_worker(exchange: Exchange, kill: Kill, ids: list[int]) -> bool:
    """Kill a dispatcher and let another take over; return whether the first one survived until all was done."""
    token = _kill_of_this_worker.set(kill)
    victim = exchange.dispatch(connect=lambda: Mortal(exchange.address, kill))
    _kill_of_this_worker.reset(token)
    ended = asyncio.create_task(exchange.all_ended(ids))
    struck = asyncio.create_task(kill.struck.wait())
    await asyncio.wait([ended, struck], return_when=asyncio.FIRST_COMPLETED)
    lived = not kill.struck.is_set()
    kill.strike()
    victim.cancel()
    struck.cancel()
    await exchange.do("UPDATE perezvon_1.gateway_leases SET until = '-infinity'")
    successor = exchange.dispatch()
    await ended
    await exchange.stop(successor)
    return lived


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_any_statement_no_call_is_dialled_twice_and_none_is_lost(database: str, *, after: bool) -> None:
    network = Network(speed=1000.0)
    async with open_exchange(database, network) as exchange:
        queue, number, lived = await exchange.queue(LIMIT), 0, False
        while not lived:
            number += 1
            ids = await exchange.callbacks(queue, [ANSWERS, BUSY, ANSWERS])
            lived = await kill_a_worker(exchange, Kill(number, after=after), ids)
            counts = network.counts()
            assert (counts.most_dials, counts.live_again) == (1, 0), number
            assert counts.most <= LIMIT, number
            assert [(await exchange.callback(one)).attempt for one in ids] == [1, 1, 1], number
            for history in (await exchange.histories(ids)).values():
                check_history(history)
            assert await exchange.rows("SELECT taken FROM perezvon_1.queue_slots") == [(0,)], number
            for table in ("open_calls", "timetable"):
                assert await exchange.rows(f"SELECT * FROM perezvon_1.{table}") == [], number
        assert number > LEAST_STATEMENTS
