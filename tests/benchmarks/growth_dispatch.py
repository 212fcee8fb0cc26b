"""Cost of dialling that must not grow with the queues, callbacks, or calls that the database holds."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection

from application.phone_line_key import line_key
from tests.benchmarks.dispatch_sides import Side, two_sides
from tests.benchmarks.growth_fill import Backlog, add_backlog, add_queues
from tests.benchmarks.growth_rows import growth_row
from tests.benchmarks.support import Bench, percentile, progress
from tests.support.dispatching import ANSWERS

QUEUES = (10, 10_000)
WAITING = (10_000, 1_000_000)
OF_CLIENT = (100, 100_000)
OF_OTHERS = (10, 100_000)
CALLS = (0, 10_000)
P99_LIMIT = 1.5

_ROUNDS = 4
_SEARCH_ROUNDS, _SEARCHES = 3, 100
_START_ROUNDS, _STARTS = 2, 100
_HOUR_S = 3600
_OTHERS = 2
_CALLS_S = 20.0
_MANY = 100_000  # slots: no queue is full


def queues(bench: Bench) -> dict[str, Any]:
    """Return how late calls are dialled, and how long a search takes, by the queues of the organisation."""
    return asyncio.run(_queues(bench))


async def _queues(bench: Bench) -> dict[str, Any]:
    async with two_sides(bench, "queues", QUEUES) as sides:
        for side in sides:
            side.queues = await add_queues(side.exchange, side.size)
            await add_backlog(side.exchange, Backlog(side.queues, side.size, due_in_s=_HOUR_S))
        late, searched = await _late(sides), await _searched(sides)
    return {
        "dialled p50, by queues": _row(late, 50),
        "dialled p99, by queues": _row(late, 99, limit=P99_LIMIT),
        "search, by queues": _row(searched, 50),
    }


def waiting(bench: Bench) -> dict[str, Any]:
    """Return how late calls of other queues are dialled beside callbacks that wait in one, and while it is deleted.

    Both queues dial what they can: two calls at a time.
    """
    return asyncio.run(_waiting(bench))


async def _waiting(bench: Bench) -> dict[str, Any]:
    async with two_sides(bench, "waiting", WAITING) as sides:
        for side in sides:
            progress(f"{side.size} callbacks")
            side.queues = await add_queues(side.exchange, 10)
            large = await add_queues(side.exchange, 1, slots=2, organization_id=_OTHERS)
            await add_backlog(side.exchange, Backlog(large, side.size, due_in_s=-_HOUR_S, organization_id=_OTHERS))
        late, searched = await _late(sides), await _searched(sides)
        of_the_large = ("UPDATE perezvon_1.queue_slots SET is_deleted = true WHERE organization_id = %s", _OTHERS)
        await sides[-1].exchange.do(*of_the_large)
        beside_sweep = await _late(sides)
        left = await sides[-1].exchange.rows("SELECT count(*) FROM perezvon_1.timetable")
        assert left[0][0] > 0, "nothing was left to delete"
        progress(f"{WAITING[-1] - left[0][0]} dialled or deleted")
    small, large = WAITING
    return {
        "dialled p50, by callbacks that wait in another queue": _row(late, 50),
        "search, by callbacks that wait in another queue": _row(searched, 50),
        "dialled p50, beside the deletion of a queue": growth_row(
            {f"{small:,} wait": _ms(beside_sweep[small], 50), f"{large:,} are deleted": _ms(beside_sweep[large], 50)}
        ),
    }


def busy_client(bench: Bench) -> dict[str, Any]:
    """Return how late calls of other queues are dialled beside callbacks that wait for one busy number."""
    return asyncio.run(_busy_client(bench))


async def _busy_client(bench: Bench) -> dict[str, Any]:
    async with two_sides(bench, "client", OF_CLIENT) as sides:
        for side in sides:
            side.queues = await add_queues(side.exchange, 10)
            (busy,) = await add_queues(side.exchange, 1, organization_id=_OTHERS)
            line = line_key(_OTHERS, ANSWERS)
            await side.exchange.do("UPDATE perezvon_1.queue_slots SET client_leg = 'a' WHERE queue_id = %s", busy)
            await side.exchange.do(
                "INSERT INTO perezvon_1.open_calls (call_id, callback_id, queue_id, organization_id, attempt, position,"
                " gateway, fence, started_at, client_line) VALUES (gen_random_uuid(), 1, %s, %s, 1, 1, 'other', 1, now(), %s)",
                busy,
                _OTHERS,
                line,
            )
            await add_backlog(
                side.exchange,
                Backlog([busy], side.size, due_in_s=-_HOUR_S, organization_id=_OTHERS, line=line),
            )
        late, searched = await _late(sides), await _searched(sides)
        ((moved,),) = await sides[-1].exchange.rows("SELECT count(*) FROM perezvon_1.line_waits")
        progress(f"{moved} callbacks set apart")
    return {
        "dialled p50, by callbacks to a busy number": _row(late, 50),
        "search, by callbacks to a busy number": _row(searched, 50),
    }


def others(bench: Bench) -> dict[str, Any]:
    """Return how long a start takes, by the queues of another organisation in which 100,000 callbacks are due.

    A start is of two calls, one of each organisation. The other one dials as fast as it can.
    """
    return asyncio.run(_others(bench))


async def _others(bench: Bench) -> dict[str, Any]:
    async with two_sides(bench, "others", OF_OTHERS) as sides:
        for side in sides:
            progress(f"{side.size} queues of another organisation")
            side.queues = await add_queues(side.exchange, 1, slots=_MANY)
            theirs = await add_queues(side.exchange, side.size, slots=_MANY, organization_id=_OTHERS)
            await add_backlog(side.exchange, Backlog(theirs, OF_OTHERS[-1], due_in_s=-_HOUR_S, organization_id=_OTHERS))
        started = await _started(sides, 2)
        late = await _late(sides)
    return {
        "start, by queues of another organisation": _row(started, 50),
        "dialled p50, by queues of another organisation": _row(late, 50),
    }


def long_transaction(bench: Bench) -> dict[str, Any]:
    """Return how late calls are dialled after many calls, during which one transaction was open, and without it."""
    return asyncio.run(_long_transaction(bench))


async def _long_transaction(bench: Bench) -> dict[str, Any]:
    async with two_sides(bench, "transaction", CALLS) as sides:
        for side in sides:
            side.queues = await add_queues(side.exchange, 1, slots=_MANY)
        async with await AsyncConnection.connect(sides[-1].exchange.dsn) as report:
            await report.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await report.execute("SELECT count(*) FROM perezvon_1.timetable")
            await asyncio.gather(*(side.lateness(CALLS[-1], _CALLS_S) for side in sides))
            late, searched, started = await _late(sides), await _searched(sides), await _started(sides, 1)
    return {
        "dialled p50, by calls during a transaction": _row(late, 50),
        "start, by calls during a transaction": _row(started, 50),
        "search, by calls during a transaction": _row(searched, 50),
    }


ROWS = (queues, waiting, busy_client, others, long_transaction)


async def _late(sides: Sequence[Side]) -> dict[int, list[float]]:
    """Return by how many seconds calls are dialled late, of each side."""
    late: dict[int, list[float]] = {side.size: [] for side in sides}
    for turn in range(_ROUNDS + 1):  # the first is the warm-up
        for side in sides:
            found = await side.lateness()
            late[side.size] += found if turn else []
    return late


async def _started(sides: Sequence[Side], calls: int) -> dict[int, list[float]]:
    """Return the seconds of starts of that many calls, of each side."""
    seconds: dict[int, list[float]] = {side.size: [] for side in sides}
    for _ in range(_START_ROUNDS):
        for side in sides:
            seconds[side.size] += await side.start_seconds(_STARTS, calls)
    return seconds


async def _searched(sides: Sequence[Side]) -> dict[int, list[float]]:
    """Return the seconds of searches for calls to start, of each side."""
    seconds: dict[int, list[float]] = {side.size: [] for side in sides}
    for _ in range(_SEARCH_ROUNDS):
        for side in sides:
            seconds[side.size] += await side.search_seconds(_SEARCHES)
    return seconds


def _row(seconds: Mapping[int, list[float]], q: int, **limit: float) -> dict[str, Any]:
    return growth_row({f"{size:,}": _ms(values, q) for size, values in seconds.items()}, **limit)


def _ms(seconds: list[float], q: int) -> float:
    return percentile(seconds, q) * 1000
