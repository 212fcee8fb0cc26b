"""The order of due callbacks: turns of organisations and queues, one call at a time per client, caller numbers."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from psycopg import AsyncConnection

from infrastructure.dispatch import attempt_starter, due_queue, queue_slots
from infrastructure.dispatch.attempt_starter import FIRST_BATCH_MAX
from infrastructure.dispatch.leadership_term import SHARED_BATCH_MAX
from infrastructure.dispatch.line_waits import idle_lines
from infrastructure.dispatch.started_attempt import StartedAttempt
from infrastructure.dispatch.timetable_news import LONG_AGO
from infrastructure.policies import retry_callbacks
from tests.support.dispatching import ANSWERS, BUSY, RINGS, Exchange, Starting, open_exchange

pytestmark = pytest.mark.anyio


@pytest.fixture
async def exchange(database: str) -> AsyncIterator[Exchange]:
    async with open_exchange(database) as opened:
        yield opened


async def starts(starting: Starting, *batches: int) -> list[list[StartedAttempt]]:
    return [[*await starting.start(most)] for most in batches]


def organizations(batches: Sequence[Sequence[StartedAttempt]]) -> list[int]:
    return [one.open_call.organization_id for batch in batches for one in batch]


def callbacks(batches: Sequence[Sequence[StartedAttempt]]) -> list[int]:
    return [one.open_call.callback_id for batch in batches for one in batch]


async def fill(exchange: Exchange, queue_id: int, rows: int) -> None:
    """Add waiting rows, younger than those scheduled before; their streams are never read."""
    await exchange.do(
        "INSERT INTO perezvon_1.timetable (callback_id, queue_id, organization_id, due_at, position)"
        " SELECT -n, %s, 1, clock_timestamp(), n FROM generate_series(1, %s) AS n",
        queue_id,
        rows,
    )


@pytest.mark.parametrize("batches", [[1] * 12, [2] * 6, [3] * 4, [5, 1, 2, 4]])
async def test_an_organisation_with_ten_thousand_older_callbacks_has_every_other_call(
    exchange: Exchange, batches: Sequence[int]
) -> None:
    large, small = await exchange.queue(organization_id=1), await exchange.queue(organization_id=2)
    await exchange.callbacks(large, [ANSWERS] * 20, organization_id=1)
    await fill(exchange, large, 10_000)
    await exchange.callbacks(small, [ANSWERS] * 20, organization_id=2)
    async with exchange.leading() as term:
        served = organizations(await starts(Starting(term), *batches))
    assert served == [1, 2] * 6


@pytest.mark.parametrize(
    ("others", "most"), [(False, 3 * SHARED_BATCH_MAX - FIRST_BATCH_MAX), (True, SHARED_BATCH_MAX)]
)
async def test_batches_are_short_where_another_organisation_could_wait_for_their_end(
    exchange: Exchange, *, others: bool, most: int
) -> None:
    queue = await exchange.queue(10_000, organization_id=1)
    await exchange.queue(organization_id=2, is_on=others)
    ids = await exchange.callbacks(queue, [BUSY] * 3 * SHARED_BATCH_MAX)
    exchange.dispatch()
    await exchange.all_ended(ids)
    batches = await exchange.rows(
        "SELECT count(*) FROM perezvon_1.stored_events WHERE topic = 'callback.attempt_started.v1' GROUP BY recorded_at"
    )
    assert max(calls for (calls,) in batches) == most


async def test_queues_of_an_organisation_take_turns_call_by_call(exchange: Exchange) -> None:
    queues = [await exchange.queue() for _ in range(3)]
    ids = [await exchange.callbacks(queue, [ANSWERS] * 4) for queue in queues]
    async with exchange.leading() as term:
        served = callbacks(await starts(Starting(term), 1, 1, 2, 2, 1, 2))
    assert served == [ids[turn % 3][turn // 3] for turn in range(9)]


async def test_many_queues_with_little_are_no_more_turns_for_their_organisation(exchange: Exchange) -> None:
    for _ in range(6):
        await exchange.callbacks(await exchange.queue(organization_id=1), [ANSWERS], organization_id=1)
    await exchange.callbacks(await exchange.queue(organization_id=2), [ANSWERS] * 6, organization_id=2)
    async with exchange.leading() as term:
        assert organizations(await starts(Starting(term), *[1] * 12)) == [1, 2] * 6


async def test_turns_are_known_to_the_leader_that_follows(exchange: Exchange) -> None:
    for organization_id in (1, 2):
        queue = await exchange.queue(organization_id=organization_id)
        await exchange.callbacks(queue, [ANSWERS] * 5, organization_id=organization_id)
    served: list[int] = []
    for _ in range(6):
        async with exchange.leading() as term:
            served += organizations(await starts(Starting(term), 1))
    assert served == [1, 2] * 3


async def with_option(exchange: Exchange, ids: Sequence[int], *, leg: str = "b", line: int | None = 7) -> None:
    """Limit the queues of these callbacks to one call per client, and give them that client line."""
    await exchange.do(f"UPDATE perezvon_1.timetable SET {leg}_line = %s WHERE callback_id = ANY(%s)", line, [*ids])
    await exchange.do(
        "UPDATE perezvon_1.queue_slots SET client_leg = %s WHERE queue_id IN"
        " (SELECT queue_id FROM perezvon_1.timetable WHERE callback_id = ANY(%s))",
        leg,
        [*ids],
    )
    await exchange.notify()


async def test_a_client_has_one_call_at_a_time_and_others_do_not_wait_for_it(exchange: Exchange) -> None:
    queue = await exchange.queue(is_on=False)
    same = await exchange.callbacks(queue, [BUSY, ANSWERS, RINGS, BUSY])
    others = await exchange.callbacks(queue, [RINGS] * 3)
    await with_option(exchange, same)
    await exchange.do("UPDATE perezvon_1.queue_slots SET is_on = true")
    exchange.dispatch()
    await exchange.all_ended([*same, *others])
    histories = await exchange.histories([*same, *others])
    spans = [(facts[1].position, facts[-1].position) for facts in histories.values()]
    mine, (first_other, *_) = spans[: len(same)], spans[len(same) :]
    assert all(end < begin for (_, end), (begin, _) in pairwise(mine))
    assert first_other[0] < mine[1][0]


async def test_of_two_calls_to_a_client_in_one_batch_the_older_is_started(exchange: Exchange) -> None:
    by_a, by_b = await exchange.queue(), await exchange.queue()
    first = await exchange.callbacks(by_a, [ANSWERS] * 2)
    second = await exchange.callbacks(by_b, [ANSWERS] * 2)
    await with_option(exchange, [*first, second[0]], leg="a")
    await with_option(exchange, [second[0]], leg="b")
    await with_option(exchange, [second[1]], leg="b", line=8)
    async with exchange.leading() as term:
        assert callbacks(await starts(Starting(term), 100, 100)) == [first[0], second[1]]
        assert await exchange.rows("SELECT client_line FROM perezvon_1.open_calls ORDER BY 1") == [(7,), (8,)]
    assert await exchange.rows("SELECT taken FROM perezvon_1.queue_slots") == [(1,), (1,)]


@pytest.mark.parametrize("line", [None, 7])
async def test_who_waits_for_nobody(exchange: Exchange, line: int | None) -> None:
    """Dial rows from before the option existed, and queues without the option."""
    ids = await exchange.callbacks(await exchange.queue(), [ANSWERS] * 3)
    await with_option(exchange, ids, line=line)
    if line:
        await exchange.do("UPDATE perezvon_1.queue_slots SET client_leg = NULL")
    async with exchange.leading() as term:
        assert callbacks(await starts(Starting(term), 1, 100)) == ids


async def test_a_queue_in_which_all_wait_for_their_client_has_no_turn_and_wakes_nobody(exchange: Exchange) -> None:
    queue, other = await exchange.queue(), await exchange.queue()
    running, *waiting = await exchange.callbacks(queue, [ANSWERS] * 3)
    await with_option(exchange, [running, *waiting])
    async with exchange.leading() as term:
        starting = Starting(term)
        assert callbacks(await starts(starting, 1, 1)) == [running]
        assert await starting.seconds_to_next() > 1e9
        theirs = await exchange.callbacks(other, [ANSWERS] * 2)
        await exchange.do("UPDATE perezvon_1.queue_slots SET served_at = now() WHERE queue_id = %s", other)
        assert await starting.seconds_to_next() <= 0
        assert callbacks(await starts(starting, 1, 1, 1)) == theirs
        assert await starting.seconds_to_next() > 1e9


async def set_apart(exchange: Exchange) -> list[int]:
    rows = await exchange.rows("SELECT callback_id FROM perezvon_1.line_waits ORDER BY due_at, callback_id")
    return [callback_id for (callback_id,) in rows]


async def test_many_callbacks_to_one_busy_number_are_passed_over_once(exchange: Exchange) -> None:
    busy, other = await exchange.queue(), await exchange.queue()
    running, *waiting = await exchange.callbacks(busy, [ANSWERS] * (3 * due_queue.BUSY_ROWS_MAX))
    await with_option(exchange, [running, *waiting])
    async with exchange.leading() as term:
        starting = Starting(term)
        assert callbacks(await starts(starting, 1)) == [running]
        theirs = await exchange.callbacks(other, [ANSWERS] * 4)
        assert callbacks(await starts(starting, *[2] * 4)) == theirs
        assert await set_apart(exchange) == waiting
        await exchange.do("DELETE FROM perezvon_1.open_calls")
        term.free_lines.add(7)
        assert callbacks(await starts(starting, 1)) == waiting[:1]
        assert await set_apart(exchange) == waiting[1:]


async def test_callbacks_that_wait_for_a_line_without_a_call_are_found_by_the_next_leader(exchange: Exchange) -> None:
    queues = [await exchange.queue(), await exchange.queue()]
    first, second = [await exchange.callbacks(queue, [ANSWERS] * 3) for queue in queues]
    await with_option(exchange, [*first, *second])
    async with exchange.leading() as term:
        starting = Starting(term)
        await starts(starting, 1, 10)
        assert await set_apart(exchange) == [*first[1:], *second]
        assert await idle_lines(exchange.owner) == []
    await exchange.do("DELETE FROM perezvon_1.open_calls")
    await exchange.do("UPDATE perezvon_1.queue_slots SET taken = 0")
    exchange.dispatch()
    await exchange.all_ended([*first[1:], *second])
    assert exchange.network.counts().most == 1


async def test_the_number_that_an_organisation_shows_is_dialled_with(exchange: Exchange) -> None:
    for organization_id, settings in ((1, '{"caller_id": "+77172000000"}'), (2, "{}")):
        await exchange.do(
            "INSERT INTO perezvon_1.organizations (id, name, settings, created_at) VALUES (%s, 'x', %s, now())",
            organization_id,
            settings,
        )
        queue = await exchange.queue(organization_id=organization_id)
        await exchange.callbacks(queue, [ANSWERS], organization_id=organization_id)
    async with exchange.leading() as term:
        ((with_number, without),) = await starts(Starting(term), 10)
    assert (with_number.call.a_sees, with_number.call.b_sees) == ("+77172000000", "+77172000000")
    assert (without.call.a_sees, without.call.b_sees) == ("1001", ANSWERS)


class Plan:
    """A plan that was run: its indexes, tables that were read whole, and how many pages it touched."""

    def __init__(self, root: dict[str, Any]) -> None:
        nodes = [*self._nodes(root)]
        self.indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
        self.scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
        self.pages = root["Shared Hit Blocks"] + root["Shared Read Blocks"]

    def _nodes(self, node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node.get("Plans", ()):
            yield from self._nodes(child)


def explained(query: str, queue: int, floor: datetime) -> tuple[bytes, dict[str, Any]]:
    values = {
        "organizations": [1],
        "floors": [floor],
        "each": 2,
        "queues": [queue],
        "rows": [2],
        "legs": ["b"],
        "due": [LONG_AGO],
        "ids": [-(2**62)],
    }
    return b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement_of(due_queue, query), values


async def plan_of(exchange: Exchange, query: str, queue: int, floor: datetime = LONG_AGO) -> Plan:
    return await run_plan(exchange, *explained(query, queue, floor))


async def run_plan(exchange: Exchange, query: bytes, values: dict[str, Any] | Sequence[Any]) -> Plan:
    async with exchange.owner.transaction(force_rollback=True):
        ((found,),) = await (await exchange.owner.execute(query, values)).fetchall()
    return Plan(found[0]["Plan"])


async def test_a_client_that_has_a_call_is_found_by_index(exchange: Exchange) -> None:
    queue = await exchange.queue()
    await fill(exchange, queue, 20_000)
    await exchange.do("UPDATE perezvon_1.timetable SET b_line = -callback_id")
    await exchange.do("UPDATE perezvon_1.queue_slots SET client_leg = 'b'")
    await exchange.do(
        "INSERT INTO perezvon_1.open_calls (call_id, callback_id, queue_id, organization_id, attempt, position, gateway,"
        " fence, started_at, client_line) SELECT gen_random_uuid(), n, %s, 1, 1, 1, 'g', 1, now(), n"
        " FROM generate_series(100, 10000) AS n",
        queue,
    )
    await exchange.do("ANALYZE")
    plan = await plan_of(exchange, "_PICK", queue)
    assert plan.indexes == {"open_calls_client", "timetable_due"}
    assert plan.scanned == set()


@pytest.mark.parametrize(
    ("query", "index"),
    [("_NEXT", "queue_slots_startable"), ("_LOCK", "queue_slots_startable"), ("_FIRST", "timetable_due")],
)
async def test_what_a_search_reads_does_not_grow_with_the_queues(exchange: Exchange, query: str, index: str) -> None:
    mine = await exchange.queue()
    await fill(exchange, mine, 1)
    few = (await plan_of(exchange, query, mine)).pages
    await exchange.do(
        "INSERT INTO perezvon_1.queue_slots (queue_id, organization_id, is_on, slots, next_due_at)"
        " SELECT n * 64 + 3, 1 + n %% 2, true, 1, now() + n * interval '1 s' FROM generate_series(1, 2000) AS n",
    )
    await exchange.do(
        "INSERT INTO perezvon_1.timetable (callback_id, queue_id, organization_id, due_at, position)"
        " SELECT n * 64 + 3, n * 64 + 3, 1 + n %% 2, now() + n * interval '1 s', n FROM generate_series(1, 2000) AS n",
    )
    await exchange.do("ANALYZE")
    plan = await plan_of(exchange, query, mine)
    assert index in plan.indexes
    assert plan.scanned <= {"organizations"}
    assert plan.pages <= few + 8


async def test_starts_during_a_long_transaction_do_not_make_later_ones_dearer(exchange: Exchange) -> None:
    queue = await exchange.queue()
    await exchange.callbacks(queue, [ANSWERS])
    await exchange.do("SET enable_seqscan = off")  # as with the statistics of a larger table
    async with await AsyncConnection.connect(exchange.dsn) as report:
        await report.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await report.execute("SELECT FROM perezvon_1.queue_slots")
        before, after = [await pages_after(exchange, queue, starts) for starts in (1, 2000)]
    assert all(after[name] <= before[name] + 15 for name in before), (before, after)


async def pages_after(exchange: Exchange, queue: int, starts: int) -> dict[str, int]:
    """Change the queue as ``starts`` starts do; return the pages that the next start and end read to lock and update it."""
    for number in range(starts):
        await exchange.owner.execute(statement_of(attempt_starter, "_OPEN"), started(queue, number), prepare=False)
    ((floor,),) = await exchange.rows("SELECT startable_at FROM perezvon_1.queue_slots")
    explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
    plans = {
        "turn": await plan_of(exchange, "_LOCK", queue, floor),
        "start": await run_plan(exchange, explain + statement_of(attempt_starter, "_OPEN"), started(queue, starts)),
        "end": await run_plan(exchange, explain + statement_of(queue_slots, "_LOCK"), ([queue],)),
        "failed": await run_plan(exchange, explain + statement_of(retry_callbacks, "_QUEUES"), ([queue],)),
    }
    return {name: plan.pages for name, plan in plans.items()}


def started(queue: int, number: int) -> Sequence[Any]:
    """Return the values of a start that moves the low-water mark."""
    return (*[[]] * 10, "g", 1, None, [queue], [LONG_AGO + timedelta(seconds=number)], [1])


def statement_of(module: ModuleType, name: str) -> bytes:
    return getattr(module, name)
