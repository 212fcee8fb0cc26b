"""Properties of callback_list, queue_board and call_history, for random legal histories split into random batches."""

import asyncio
from collections import Counter, defaultdict
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from application.queries.callback_list import CallbackRow, callback_row
from application.queries.queue_board import QueueRow, queue_row
from domain.callback import callback as callbacks
from domain.callback.events import AttemptFailed, AttemptStarted, AttemptSucceeded, CallbackFact, CallbackScheduled
from domain.callback_queue import callback_queue as queues
from domain.callback_queue.events import QueueFact
from domain.model import Recorded
from infrastructure.operations import rebuild as rebuilding
from infrastructure.operations.rebuild import rebuild
from infrastructure.read_models.registry import PROJECTIONS
from tests.support.histories import callback_histories, queue_histories
from tests.support.views import Views, open_views

NAMES = ("callback_list", "queue_board", "call_history")
TABLES = [table.name for name in NAMES for table in PROJECTIONS[name].tables]
_numbers = count(1)

Queue = tuple[list[QueueFact], list[list[CallbackFact]]]
generated_queues = st.tuples(queue_histories(steps=4), st.lists(callback_histories(steps=12), max_size=4))


async def record(views: Views, made: list[Queue]) -> None:
    """Append each queue with its callbacks, under new numbers."""
    streams: list[tuple[str, list[Any]]] = []
    for queue_facts, histories in made:
        queue_id = next(_numbers) * 64 + 1
        streams.append((f"queue/{queue_id}", queue_facts))
        for first, *later in histories:
            assert isinstance(first, CallbackScheduled)
            started = [_with_new_call_id(fact) for fact in later]
            streams.append((f"callback/{next(_numbers) * 64 + 1}", [replace(first, queue_id=queue_id), *started]))
    await views.record_streams(streams)


def _with_new_call_id(fact: CallbackFact) -> CallbackFact:
    return replace(fact, call_id=str(uuid4())) if isinstance(fact, AttemptStarted) else fact


async def streams_of(views: Views, prefix: str) -> list[list[Recorded[Any]]]:
    """Return all streams of the log whose names begin with ``prefix``."""
    streams = defaultdict[str, list[Recorded[Any]]](list)
    for event in await views.events(prefix):
        streams[event.stream].append(event)
    return list(streams.values())


async def check(views: Views) -> None:
    """Compare each row and count with the result of replaying the log."""
    rows, counts = dict[int, CallbackRow](), defaultdict[int, Counter[str]](Counter)
    calls = list[tuple[UUID, int, int, int]]()
    for events in await streams_of(views, "callback/"):
        callback = callbacks.replay(events)
        assert callback is not None
        started = (event.fact for event in events if isinstance(event.fact, AttemptStarted))
        calls += [(UUID(fact.call_id), callback.organization_id, callback.id, fact.attempt) for fact in started]
        tried = counts[callback.scheduled.queue_id]
        tried["attempts_joined"] += sum(isinstance(event.fact, AttemptSucceeded) for event in events)
        tried["attempts_failed"] += sum(isinstance(event.fact, AttemptFailed) for event in events)
        if not callback.is_deleted:
            rows[callback.id] = callback_row(callback)
            tried[callback.finish_result or callback.status] += 1
    assert sorted(await views.dump("call_history")) == sorted(calls)
    assert {row["id"]: row for row in await _kept(views, "callback_list", CallbackRow)} == {
        number: msgspec.structs.asdict(row) for number, row in rows.items()
    }
    found = [queue for events in await streams_of(views, "queue/") if (queue := queues.replay(events))]
    expected = {queue.id: msgspec.structs.asdict(queue_row(queue)) for queue in found if not queue.is_deleted}
    assert {row["id"]: row for row in await _kept(views, "queue_board", QueueRow)} == expected
    names = ("scheduled", "executed", "delayed", "success", "failed", "attempts_joined", "attempts_failed")
    kept = await views.rows(f"SELECT queue_id, queue_is_deleted, {', '.join(names)} FROM perezvon_1.callback_counts")
    assert {(row[0], *row[2:]) for row in kept if any(row[2:])} == {
        (queue_id, *(counted[name] for name in names)) for queue_id, counted in counts.items() if counted.total()
    }
    assert {row[0] for row in kept if row[1]} == {queue.id for queue in found if queue.is_deleted}


async def _kept(views: Views, table: str, row: type[msgspec.Struct]) -> list[dict[str, Any]]:
    names = row.__struct_fields__
    found = await views.rows(f"SELECT {', '.join(names)} FROM perezvon_1.{table} WHERE NOT is_deleted")
    return [dict(zip(names, values, strict=True)) for values in found]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    made=st.lists(generated_queues, min_size=1, max_size=3),
    live=st.integers(1, 9),
    rebuilt=st.integers(1, 9),
)
def test_however_histories_are_cut_into_batches_rows_counts_and_rebuild_say_what_the_log_says(
    database: str, monkeypatch: pytest.MonkeyPatch, made: list[Queue], live: int, rebuilt: int
) -> None:
    async def example() -> None:
        async with open_views(database) as views:
            await record(views, made)
            await views.fold_in_batches_of(live)
            await check(views)
            assert await views.rows("SELECT FROM perezvon_1.parked_streams") == []
            before = [await views.dump(table) for table in TABLES]
            for name in NAMES:
                await PROJECTIONS[name].handle(views.owner, await views.events(PROJECTIONS[name].subscription))
                report = await rebuild(views.dsn, name, accept=False, progress=lambda _done, _until: None)
                assert report.swapped
                assert not report.differs
            assert [await views.dump(table) for table in TABLES] == before

    with monkeypatch.context() as patch:
        patch.setattr(rebuilding, "_BATCH_EVENTS", rebuilt)
        patch.setattr(rebuilding, "_NEAR_EVENTS", rebuilt)
        asyncio.run(example())
