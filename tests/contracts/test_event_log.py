"""The port ``EventLog``: its contract on Postgres and on the fake of unit tests, then what Postgres alone promises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

from application.errors import ConcurrentUpdate, IdempotencyKeyTaken, StorageUnavailable
from application.ports.event_log import Appended, EventLog, IdempotencyKey, IdempotencyRecord
from domain.model import Envelope, Fact, Recorded
from domain.task.events import TaskCancelled, TaskPutBack, TaskStarted
from infrastructure.event_log.append import Command, append_batch
from infrastructure.event_log.codec import UnknownFact
from infrastructure.event_log.log import PostgresEventLog
from infrastructure.postgres.connections import service_dsn
from tests.support.histories import filed
from tests.support.logs import ENVELOPE, held_append_lock, open_log, pids_waiting_to_append
from tests.support.memory_log import InMemoryEventLog
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

_FOREIGN = (
    "INSERT INTO perezvon_1.stored_events"
    " (notification_id, recorded_at, originator_id, topic, state, originator_version, organization_id)"
    " VALUES (%s, %s, %s, %s, %s, 1, 1)"
)
A, B, C, D = (f"task/{letter}" for letter in "abcd")


@pytest.fixture
async def log(database: str) -> AsyncIterator[PostgresEventLog]:
    async with open_log(database) as opened:
        yield opened


@pytest.fixture(params=["postgres", "memory"])
async def port(request: pytest.FixtureRequest) -> AsyncIterator[EventLog]:
    if request.param == "memory":
        yield InMemoryEventLog()
        return
    async with open_log(request.getfixturevalue("database")) as opened:
        yield opened


async def together(*asked: Awaitable[Any]) -> list[Any]:
    """Run commands at the same moment, so that they share one batch; return their results or errors."""
    return await asyncio.gather(*asked, return_exceptions=True)


async def append(
    log: EventLog, stream: str, version: int = 0, facts: Sequence[Fact] = (TaskStarted(),), *, key: str = ""
) -> Appended:
    return await log.append(stream, version, facts, ENVELOPE, idempotency_key(key) if key else None)


def idempotency_key(key: str) -> IdempotencyKey:
    return IdempotencyKey(digest=key.encode(), fingerprint=b"print of " + key.encode(), status=201)


def as_owner(database: str, statement: str, *values: object) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(statement.encode(), values)


async def test_what_is_appended_is_read_with_its_envelope(port: EventLog) -> None:
    facts = [filed("Call back about the order"), TaskStarted()]
    appended = await port.append(A, 0, facts, ENVELOPE)
    events = await port.read(A)
    assert list(appended.events) == list(events)
    assert appended.position == 2
    assert [event.fact for event in events] == facts
    assert [(event.stream, event.version, event.position) for event in events] == [(A, 1, 1), (A, 2, 2)]
    assert datetime.now(UTC) - events[0].recorded_at < timedelta(minutes=1)
    for event in events:
        envelope = (event.organization_id, event.actor, event.reason, event.causation, event.correlation)
        assert envelope == (1, "member/m1", "asked to", "request/7", "request/7")


async def test_an_unknown_stream_is_empty(port: EventLog) -> None:
    assert list(await port.read(A)) == []


async def test_a_stream_can_be_read_as_it_was_at_a_version_and_at_a_time(port: EventLog) -> None:
    await append(port, A, 0, [filed(), TaskStarted()])
    await append(port, A, 2, [TaskPutBack()])
    events = await port.read(A)
    assert [event.version for event in await port.read_until(A, version=2)] == [1, 2]
    assert await port.read_until(A, version=9) == events
    assert await port.read_until(A, as_of=events[2].recorded_at) == events
    assert await port.read_until(A, as_of=events[0].recorded_at - timedelta(seconds=1)) == []
    assert await port.read_until(B, version=1) == []


async def test_the_last_event_of_a_stream_can_be_read(port: EventLog) -> None:
    await append(port, A, 0, [filed(), TaskStarted()])
    await append(port, B, 0, [filed()])
    last, other, none = await asyncio.gather(port.read_last(A), port.read_last(B), port.read_last(C))
    assert last == (await port.read(A))[-1]
    assert (other and other.version, none) == (1, None)


async def test_a_stream_can_be_read_in_pages(port: EventLog) -> None:
    await append(port, A, 0, [filed(), *[TaskStarted()] * 4])
    first = await port.read_page(1, A, after=0, limit=2)
    second = await port.read_page(1, A, after=2, limit=3)
    assert [[event.version for event in page.events] for page in (first, second)] == [[1, 2], [3, 4, 5]]
    assert (first.has_next, second.has_next) == (True, False)
    assert (await port.read_page(1, A, after=5, limit=3)).events == []
    assert (await port.read_page(1, B, after=0, limit=3)).events == []


async def test_a_taken_version_is_refused_and_nothing_of_the_command_is_recorded(port: EventLog) -> None:
    await append(port, A)
    with pytest.raises(ConcurrentUpdate):
        await append(port, A, 0, [TaskPutBack(), TaskCancelled()])
    assert [event.fact for event in await port.read(A)] == [TaskStarted()]


async def test_refused_commands_cost_their_neighbours_nothing_and_leave_no_gaps(log: PostgresEventLog) -> None:
    await append(log, A, key="k")
    outcomes = await together(
        append(log, B, 0, [filed(), TaskStarted()]),
        append(log, A, 0),  # stale
        append(log, C),
        append(log, C),  # the twin of its neighbour
        append(log, D, key="k"),  # its key is taken
        append(log, A, 1, [TaskPutBack()]),
    )
    assert [outcome.position if isinstance(outcome, Appended) else type(outcome) for outcome in outcomes] == [
        3,
        ConcurrentUpdate,
        4,
        ConcurrentUpdate,
        IdempotencyKeyTaken,
        5,
    ]
    events = [event for stream in (A, B, C, D) for event in await log.read(stream)]
    assert sorted(event.position for event in events) == [1, 2, 3, 4, 5]
    assert len({event.recorded_at for event in events}) == 2, "they were no neighbours"


async def test_a_version_is_taken_only_by_what_is_recorded(port: EventLog) -> None:
    await append(port, A, key="k")
    outcomes = await together(
        append(port, A, 0, [TaskPutBack(), TaskCancelled()]),  # stale: version 2 stays free
        append(port, A, 1, key="k"),  # its key is taken: version 2 stays free
        append(port, A, 1, [TaskPutBack()]),
    )
    assert [type(outcome) for outcome in outcomes] == [ConcurrentUpdate, IdempotencyKeyTaken, Appended]


async def test_an_idempotency_key_is_taken_only_by_what_is_recorded(port: EventLog) -> None:
    await append(port, A)
    outcomes = await together(append(port, A, 0, key="k"), append(port, A, 1, key="k"), append(port, B, key="k"))
    assert [type(outcome) for outcome in outcomes] == [ConcurrentUpdate, Appended, IdempotencyKeyTaken]


async def test_an_idempotency_key_tells_afterwards_what_it_has_done(port: EventLog) -> None:
    assert await port.idempotency_record(b"k") is None
    await append(port, A, 0, [filed(), TaskStarted()], key="k")
    assert await port.idempotency_record(b"k") == IdempotencyRecord(
        fingerprint=b"print of k", stream=A, version=2, status=201
    )


async def test_an_idempotency_key_and_its_facts_are_recorded_both_or_neither(port: EventLog) -> None:
    await append(port, A)
    with pytest.raises(ConcurrentUpdate):
        await append(port, A, 0, key="k")
    assert await port.idempotency_record(b"k") is None
    await append(port, A, 1, key="k")
    with pytest.raises(IdempotencyKeyTaken):
        await append(port, B, key="k")
    assert list(await port.read(B)) == []


async def test_of_one_key_given_twice_at_once_one_is_recorded_and_the_other_told_so(port: EventLog) -> None:
    outcomes = await together(*(append(port, A, key="k") for _ in range(5)), append(port, B))
    assert [type(outcome) for outcome in outcomes] == [Appended, *[IdempotencyKeyTaken] * 4, Appended]


async def test_an_idempotency_key_without_facts_is_recorded_beside_the_facts_of_others(port: EventLog) -> None:
    await append(port, A)
    outcomes = await together(append(port, B), append(port, A, 1, [], key="k"), append(port, C))
    assert [outcome.position for outcome in outcomes] == [2, 2, 3]
    assert await port.idempotency_record(b"k") == IdempotencyRecord(
        fingerprint=b"print of k", stream=A, version=1, status=201
    )


async def test_a_command_without_facts_and_key_is_refused_by_itself(port: EventLog) -> None:
    outcomes = await together(append(port, A), append(port, B, 0, []), append(port, C))
    assert [type(outcome) for outcome in outcomes] == [Appended, ValueError, Appended]


async def test_an_idempotency_key_is_forgotten_after_a_day(log: PostgresEventLog, database: str) -> None:
    age = "UPDATE perezvon_1.stored_events_claims SET claimed_at = claimed_at - %s"
    await append(log, A, key="k")
    as_owner(database, age, timedelta(hours=23, minutes=59))
    with pytest.raises(IdempotencyKeyTaken):
        await append(log, B, key="k")
    as_owner(database, age, timedelta(minutes=1))
    assert await log.idempotency_record(b"k") is None
    await append(log, B, key="k")
    assert await log.idempotency_record(b"k") == IdempotencyRecord(
        fingerprint=b"print of k", stream=B, version=1, status=201
    )


async def test_time_never_runs_backwards_in_the_log_even_when_the_clock_does(
    log: PostgresEventLog, database: str
) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)  # as if the clock had been set back by an hour since
    as_owner(database, _FOREIGN, 1, ahead, A, "task.started.v1", b'{"type":"task.started.v1"}')
    appended = [await append(log, A, version) for version in (1, 2)]
    assert [event.recorded_at for one in appended for event in one.events] == [ahead, ahead]
    assert [event.recorded_at for event in await log.read(A)] == [ahead] * 3


async def test_ten_thousand_facts_go_through_in_one_command(log: PostgresEventLog) -> None:
    appended, neighbour = await together(append(log, A, 0, [TaskStarted()] * 10_000), append(log, B))
    assert (appended.position, neighbour.position) == (10_000, 10_001)
    assert [event.position for event in await log.read(A)] == list(range(1, 10_001))


@pytest.mark.parametrize("level", IsolationLevel)
async def test_the_append_function_refuses_other_isolation_than_read_committed(
    database: str, level: IsolationLevel
) -> None:
    command = Command(stream=A, version=0, facts=[TaskStarted()], states=[b"{}"], envelope=ENVELOPE)
    async with await psycopg.AsyncConnection.connect(service_dsn(database)) as connection:
        await connection.set_isolation_level(level)
        if level is IsolationLevel.READ_COMMITTED:
            assert len(await append_batch(connection, [command])) == 1
        else:
            with pytest.raises(psycopg.errors.InvalidTransactionState):
                await append_batch(connection, [command])


async def calls_seen(listener: psycopg.AsyncConnection) -> int:
    """Return the number of the log's notifications since the last call of this function."""
    await listener.execute("NOTIFY marker")
    seen = 0
    async for notice in listener.notifies(timeout=10):
        if notice.channel == "marker":
            return seen
        seen += notice.channel == "stored_events"
    raise AssertionError("The marker never came")


async def test_listeners_are_notified_once_a_call(log: PostgresEventLog, database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:
        await listener.execute("LISTEN stored_events; LISTEN marker")
        await together(*(append(log, f"task/{n}", 0, [filed(), TaskStarted()]) for n in range(20)))
        assert await calls_seen(listener) == 1


async def test_a_call_carries_no_more_bytes_than_its_bound(log: PostgresEventLog, database: str) -> None:
    text = "я" * 700_000  # 1.4 MB: of the ten, two fit into 4 MiB and the third does not
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:
        await listener.execute("LISTEN stored_events; LISTEN marker")
        facts = [filed(call_transcription=text)]
        outcomes = await together(*(append(log, f"task/{n}", 0, facts) for n in range(10)))
        assert [outcome.position for outcome in outcomes] == list(range(1, 11))
        assert await calls_seen(listener) == 5
    assert [event.fact for event in await log.read("task/9")] == facts


async def test_when_too_much_waits_the_log_says_so_at_once(
    log: PostgresEventLog, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.postgres.batching.WAITING_BYTES", 15_000)
    async with held_append_lock(database):
        waiting = [asyncio.create_task(append(log, f"task/{n}", 0, [filed("x" * 4_000)])) for n in range(2)]
        await asyncio.to_thread(eventually, lambda: pids_waiting_to_append(database))
        with pytest.raises(StorageUnavailable):
            await append(log, A, 0, [filed("x" * 4_000)])
    assert [appended.position for appended in await asyncio.gather(*waiting)] == [1, 2]
    await append(log, A, 0, [filed("x" * 4_000)])


async def test_a_lost_connection_is_storage_unavailable_and_the_next_command_finds_another(
    log: PostgresEventLog, database: str
) -> None:
    async with held_append_lock(database):
        asked = asyncio.create_task(append(log, A))
        (process,) = await asyncio.to_thread(eventually, lambda: pids_waiting_to_append(database))
        as_owner(database, "SELECT pg_terminate_backend(%s)", process)
        with pytest.raises(StorageUnavailable):
            await asked
    assert (await append(log, A)).position == 1


BAD_ENVELOPES = {
    "a NUL byte": Envelope(organization_id=1, actor="cli", reason="nul \0"),
    "a lone surrogate": Envelope(organization_id=1, actor="cli", reason="half \ud800"),
    "a number too big": Envelope(organization_id=1 << 63, actor="cli"),
}


@pytest.mark.parametrize("envelope", BAD_ENVELOPES.values(), ids=BAD_ENVELOPES)
async def test_a_value_that_cannot_be_stored_costs_the_neighbours_nothing(
    log: PostgresEventLog, envelope: Envelope
) -> None:
    neighbours = [append(log, f"task/{n}") for n in range(7)]
    bad = log.append(A, 0, [TaskStarted()], envelope)
    *good, refusal = await together(*neighbours[:3], *neighbours[3:], bad)
    assert [outcome.position for outcome in good] == list(range(1, 8))
    assert isinstance(refusal, psycopg.DataError | UnicodeEncodeError)
    assert list(await log.read(A)) == []


async def test_a_fact_that_cannot_be_encoded_costs_the_neighbours_nothing(log: PostgresEventLog) -> None:
    bad, good = await together(append(log, A, 0, [filed("half \ud800")]), append(log, B))
    assert isinstance(bad, UnicodeEncodeError)
    assert good.position == 1


async def test_what_cannot_be_read_costs_other_readers_nothing(log: PostgresEventLog, database: str) -> None:
    await append(log, A)
    as_owner(database, _FOREIGN, 2, datetime.now(UTC), B, "task.dreamt.v1", b"{}")
    poisoned, impossible, good = await together(log.read(B), log.read("task/\0"), log.read(A))
    assert isinstance(poisoned, UnknownFact)
    assert isinstance(impossible, psycopg.DataError)
    assert [event.position for event in good] == [1]
    assert all(isinstance(event, Recorded) for event in good)
