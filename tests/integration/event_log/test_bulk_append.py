"""Bulk append of the port ``EventLog``, and the port ``IdSequences``."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from application.errors import ConcurrentUpdate, IdempotencyKeyTaken, StorageUnavailable
from application.ports.event_log import IdempotencyKey
from domain.task.events import TaskCancelled, TaskStarted
from infrastructure.event_log.log import PostgresEventLog
from infrastructure.event_log.sequences import PostgresIdSequences
from infrastructure.postgres.connections import Pool, service_dsn
from tests.support.histories import filed
from tests.support.logs import ENVELOPE, held_append_lock, open_log, pids_waiting_to_append
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

STREAMS = [f"task/{letter}" for letter in "abcde"]
FACTS = [filed(name) for name in "12345"]


@pytest.fixture
async def log(database: str) -> AsyncIterator[PostgresEventLog]:
    async with open_log(database) as opened:
        yield opened


@pytest.fixture
async def sequences(database: str) -> AsyncIterator[PostgresIdSequences]:
    pool = Pool(service_dsn(database), size=4, name="numbers")
    yield PostgresIdSequences(pool)
    await pool.close()


def idempotency_key(key: str) -> IdempotencyKey:
    return IdempotencyKey(digest=key.encode(), fingerprint=b"print of " + key.encode(), status=201)


async def test_many_streams_are_created_at_consecutive_positions_with_one_envelope(log: PostgresEventLog) -> None:
    await log.append("task/before", 0, [TaskStarted()], ENVELOPE)
    appended = await log.append_all(STREAMS, FACTS, ENVELOPE)
    assert appended.position == 6
    assert list(appended.events) == list(await log.read_span(2, 5))
    assert [(event.stream, event.version) for event in appended.events] == [(stream, 1) for stream in STREAMS]
    assert [event.fact for event in appended.events] == FACTS
    assert len({event.recorded_at for event in appended.events}) == 1
    for stream, event in zip(STREAMS, appended.events, strict=True):
        assert list(await log.read(stream)) == [event]
        envelope = (event.organization_id, event.actor, event.reason, event.causation, event.correlation)
        assert envelope == (1, "member/m1", "asked to", "request/7", "request/7")


async def test_one_stream_that_exists_prevents_all(log: PostgresEventLog) -> None:
    await log.append(STREAMS[3], 0, [TaskCancelled()], ENVELOPE)
    with pytest.raises(ConcurrentUpdate):
        await log.append_all(STREAMS, FACTS, ENVELOPE, idempotency_key("k"))
    assert len(await log.read_span(1, 100)) == 1
    assert await log.idempotency_record(b"k") is None
    await log.append(STREAMS[0], 0, [TaskStarted()], ENVELOPE)


async def test_an_idempotency_key_is_of_the_first_stream_and_prevents_a_second_bulk_append(
    log: PostgresEventLog,
) -> None:
    await log.append_all(STREAMS, FACTS, ENVELOPE, idempotency_key("k"))
    record = await log.idempotency_record(b"k")
    assert record
    assert (record.stream, record.version, record.status) == (STREAMS[0], 1, 201)
    with pytest.raises(IdempotencyKeyTaken):
        await log.append_all(["task/x", "task/y"], FACTS[:2], ENVELOPE, idempotency_key("k"))
    assert await log.read("task/x") == []


async def test_many_and_few_at_the_same_time_leave_no_gap(log: PostgresEventLog) -> None:
    many = [
        log.append_all([f"task/{turn}.{n}" for n in range(50)], [TaskStarted()] * 50, ENVELOPE) for turn in range(4)
    ]
    few = [log.append(f"task/{n}", 0, [TaskStarted()], ENVELOPE) for n in range(20)]
    await asyncio.gather(*many, *few)
    events = await log.read_span(1, 1_000)
    assert [event.position for event in events] == list(range(1, 221))
    places = {event.stream: event.position for event in events}
    for turn in range(4):
        assert [places[f"task/{turn}.{n}"] - places[f"task/{turn}.0"] for n in range(50)] == list(range(50))


async def test_waiting_bulk_appends_are_bounded(log: PostgresEventLog, database: str) -> None:
    streams, facts = STREAMS[:2], [filed("x" * 5_000_000)] * 2
    async with held_append_lock(database):
        waiting = [asyncio.create_task(log.append_all(streams, facts, ENVELOPE)) for _ in range(3)]
        await asyncio.to_thread(eventually, lambda: pids_waiting_to_append(database))
        with pytest.raises(StorageUnavailable):
            await log.append_all(["task/late", "task/later"], facts, ENVELOPE)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[1:]] == [ConcurrentUpdate, ConcurrentUpdate]


async def test_numbers_ascend_carry_the_shard_and_are_never_drawn_twice(sequences: PostgresIdSequences) -> None:
    drawn = await asyncio.gather(*(sequences.new_callback_ids(500) for _ in range(8)))
    assert all(list(ids) == sorted(ids) for ids in drawn)
    together = {number for ids in drawn for number in ids}
    assert len(together) == 4_000
    assert {number % 64 for number in together} == {1}
    queues = [await sequences.new_queue_id() for _ in range(3)]
    assert queues == sorted(set(queues))
    assert {number % 64 for number in queues} == {1}
