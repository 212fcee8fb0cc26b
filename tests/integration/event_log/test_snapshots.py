"""Snapshots: a long stream is loaded from its newest snapshot on, and nothing differs but the cost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import msgspec
import psycopg
import pytest

from application.callers import Caller, Request
from application.policies.decision import Decision
from application.tasks import TaskResult
from domain.callback_queue.callback_queue import replay as replay_queue
from domain.callback_queue.events import QueueSwitchedOff, QueueSwitchedOn
from domain.errors import HistoryFull
from domain.limits import TASK_HISTORY_BYTES_MAX
from domain.model import Fact, Recorded, Snapshot
from domain.permissions import Role
from domain.snapshots import SNAPSHOTS
from domain.streams import TASK_PREFIX, aggregate_id
from domain.task.events import AppealLinked, Failure, TaskFailed, TaskPutBack, TaskReprocessed, TaskStarted
from domain.task.task import Status, replay
from infrastructure.event_log import metrics, streams
from infrastructure.event_log.decisions import decide_and_append
from infrastructure.event_log.log import PostgresEventLog
from infrastructure.event_log.streams import SNAPSHOT_EVENTS
from infrastructure.postgres.connections import service_dsn
from interfaces.bootstrap.services import Services, services
from tests.support.histories import filed, queue_created
from tests.support.logs import ENVELOPE, open_log
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio

STREAM = "task/0197b1c2-f000-7000-8000-000000000001"
TOPIC = SNAPSHOTS[TASK_PREFIX].topic
_ADD = b"SELECT perezvon_1.snapshots_add(%s, %s, %s, %b)"


@pytest.fixture
async def log(database: str) -> AsyncIterator[PostgresEventLog]:
    async with open_log(database) as opened:
        yield opened


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


def changes(count: int) -> list[Fact]:
    """Return facts of a task that is started and put back, fails and is reprocessed, with a new appeal in between."""
    cycle: list[Fact] = []
    attempt = 1
    while len(cycle) < count:
        attempt += 1
        cycle += [TaskStarted(), TaskPutBack(), AppealLinked(appeal_id=f"A-{attempt}")]
        cycle += [TaskFailed(personal=Failure(subject="x", error_message=f"no answer {attempt}"))]
        cycle += [TaskReprocessed(attempt=attempt)]
    return cycle[:count]


async def add_snapshot(views: Views, stream: str, version: int, topic: str, state: bytes) -> None:
    await views.owner.execute(_ADD, (stream, version, topic, state))


async def all_events(log: PostgresEventLog, stream: str) -> Sequence[Recorded[Any]]:
    events: list[Recorded[Any]] = []
    while (page := await log.read_page(None, stream, after=len(events), limit=1000)).events:
        events += page.events
    return events


async def test_a_long_stream_is_loaded_from_its_snapshot_on_and_folds_to_the_same_state(log: PostgresEventLog) -> None:
    await log.append(STREAM, 0, [filed(), *changes(2000)], ENVELOPE)
    whole = await log.read(STREAM)
    assert len(whole) == 2001
    await log.append(STREAM, 2001, [TaskStarted()], ENVELOPE)
    first, last = await log.read(STREAM)
    assert (first.version, first.position, first.recorded_at) == (2001, whole[-1].position, whole[-1].recorded_at)
    assert (first.stream, first.log_id, first.organization_id) == (STREAM, last.log_id, 1)
    assert replay([first]) == replay(whole)
    assert replay([first, last]) == replay([*whole, last])


async def test_however_long_a_stream_is_its_load_and_change_read_few_events(log: PostgresEventLog) -> None:
    await log.append(STREAM, 0, [filed()], ENVELOPE)
    most = 0
    for version in range(1, 4 * SNAPSHOT_EVENTS):
        loaded = await log.read(STREAM)
        most = max(most, len(loaded))
        assert loaded[-1].version == version
        await log.append(STREAM, version, [TaskStarted() if version % 2 else TaskPutBack()], ENVELOPE)
    assert most <= SNAPSHOT_EVENTS + 2


async def test_a_stream_can_be_seen_as_it_was_at_each_version_with_and_without_snapshots(log: PostgresEventLog) -> None:
    facts = [filed(), *changes(5 * SNAPSHOT_EVENTS)]
    for start in range(0, len(facts), 100):
        await log.append(STREAM, start, facts[start : start + 100], ENVELOPE)
        await log.read(STREAM)
    events = await all_events(log, STREAM)
    longest = 0
    for version in range(1, len(events) + 1, 7):
        loaded = await log.read_until(STREAM, version=version)
        longest = max(longest, len(loaded))
        assert replay(loaded) == replay(events[:version])
        at = events[version - 1].recorded_at
        known = [event for event in events if event.recorded_at <= at]
        assert replay(await log.read_until(STREAM, as_of=at)) == replay(known)
    assert longest <= 2 * SNAPSHOT_EVENTS


async def test_policies_decide_on_snapshots_too(log: PostgresEventLog, views: Views) -> None:
    await log.append(STREAM, 0, [filed(), *changes(300)], ENVELOPE)
    await log.read(STREAM)
    loaded: list[int] = []

    def decide(events: Sequence[Recorded[Any]]) -> Sequence[Fact]:
        loaded.append(len(events))
        task = replay(events)
        assert task is not None
        return task.link_appeal(f"A-{task.version}")

    async with views.pool.connection() as connection, connection.transaction():
        outcomes = await decide_and_append(
            connection, [Decision(stream=STREAM, decide=decide, envelope=ENVELOPE) for _ in range(2)]
        )
    assert [outcome and outcome.events[0].version for outcome in outcomes] == [302, 303]
    assert loaded == [1, 2]


async def test_a_snapshot_of_another_number_is_void(log: PostgresEventLog, views: Views) -> None:
    await log.append(STREAM, 0, [filed(), *changes(200)], ENVELOPE)
    await add_snapshot(views, STREAM, 200, "task.snapshot.0", b"of another fold")
    assert len(await log.read(STREAM)) == 201


async def test_a_snapshot_of_a_version_that_the_log_does_not_have_is_not_added(views: Views) -> None:
    await views.record(STREAM, filed())
    await add_snapshot(views, STREAM, 2, TOPIC, b"{}")
    assert await views.rows("SELECT * FROM perezvon_1.snapshots") == []


async def test_the_service_adds_snapshots_and_changes_none(database: str) -> None:
    with psycopg.connect(service_dsn(database), autocommit=True) as connection:
        connection.execute("SELECT * FROM perezvon_1.snapshots")
        for change in (
            "INSERT INTO perezvon_1.snapshots VALUES ('task/1', 'task.snapshot.1', 1, 1, 1, now(), '')",
            "UPDATE perezvon_1.snapshots SET state = ''",
            "DELETE FROM perezvon_1.snapshots",
            "TRUNCATE perezvon_1.snapshots",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change.encode())


async def test_a_stream_is_read_where_no_snapshot_can_be_stored(log: PostgresEventLog, views: Views) -> None:
    await log.append(STREAM, 0, [filed(), *changes(200)], ENVELOPE)
    await views.do("REVOKE EXECUTE ON FUNCTION perezvon_1.snapshots_add FROM perezvon_app")
    before = metrics.SNAPSHOTS.labels("failed")._value.get()
    assert [len(await log.read(STREAM)) for _ in range(2)] == [201, 201]
    assert metrics.SNAPSHOTS.labels("failed")._value.get() == before + 2


async def test_personal_data_is_kept_as_the_events_hold_it(log: PostgresEventLog, views: Views) -> None:
    """Check that the personal member of an event can be sealed or erased in the snapshot too."""
    task = filed(description="Долго ждал", caller_phone="+77010001001")
    failed = TaskFailed(personal=Failure(subject="s", error_message="not reached"))
    facts = [task, *[TaskStarted(), TaskPutBack()] * 100, failed]
    await log.append(STREAM, 0, facts, ENVELOPE)
    await log.read(STREAM)
    ((state,),) = await views.rows("SELECT state FROM perezvon_1.snapshots")
    kept = msgspec.json.decode(state)["state"]
    assert {name: value for name, value in kept["details"].items() if value} == _plain(task.personal)
    assert kept["failure"] == _plain(failed.personal)


def _plain(personal: object) -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(personal))


async def test_a_queue_that_was_switched_often_is_loaded_from_its_snapshot(log: PostgresEventLog) -> None:
    facts = [queue_created(), *[QueueSwitchedOff(), QueueSwitchedOn()] * 500]
    await log.append("queue/65", 0, facts, ENVELOPE)
    whole = await log.read("queue/65")
    (loaded,) = await log.read("queue/65")
    assert replay_queue([loaded]) == replay_queue(whole)


async def test_concurrent_readers_store_one_snapshot(log: PostgresEventLog, views: Views) -> None:
    await log.append(STREAM, 0, [filed(), *changes(500)], ENVELOPE)
    async with open_log(views.dsn) as other:
        await asyncio.gather(log.read(STREAM), other.read(STREAM))
    assert await views.rows("SELECT originator_version FROM perezvon_1.snapshots") == [(501,)]


async def test_a_full_history_takes_only_what_ends_the_task(log: PostgresEventLog, views: Views) -> None:
    await log.append(STREAM, 0, [filed(), *[TaskStarted(), TaskPutBack()] * 100], ENVELOPE)
    task = replay(await log.read(STREAM))
    await views.do("DELETE FROM perezvon_1.snapshots")
    full = Snapshot(state=task, bytes=TASK_HISTORY_BYTES_MAX)
    await add_snapshot(views, STREAM, 201, TOPIC, msgspec.json.encode(full))
    request = Request(request_id="r", caller=Caller(organization_id=1, token_id="t1", role=Role.ADMIN))
    async with services(service_dsn(views.dsn)) as opened:
        with pytest.raises(HistoryFull, match="16 MiB"):
            await _change(opened, Status.IN_PROGRESS, request)
        ended = await _change(opened, Status.CANCELLED, request)
    assert (ended.task.status, ended.task.version) == (Status.CANCELLED, 202)


def _change(opened: Services, status: Status, request: Request) -> Awaitable[TaskResult]:
    return opened.tasks.change_status(aggregate_id(STREAM), status, request, reason=None, error_message=None)


async def test_a_load_reads_indexes_only(log: PostgresEventLog, views: Views) -> None:
    await log.append(STREAM, 0, [filed(), *changes(2000)], ENVELOPE)
    await log.read(STREAM)
    rows = await views.owner.execute(b"EXPLAIN " + streams._NEWEST, ([STREAM, "callback/1"], [TOPIC, None]))
    plan = "\n".join(line for (line,) in await rows.fetchall())
    assert "Seq Scan" not in plan, plan
    assert plan.count("stored_events_stream") == 1, plan
