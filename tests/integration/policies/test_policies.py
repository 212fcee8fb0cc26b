"""Laws of all policies: crashes, batches, restarts and idle times change no result; a request is the cause of each fact."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from application.policies.decision import Decision
from domain.callback.events import AttemptStarted, AttemptSucceeded, CallbackCancelled, CallbackFinished, FinishResult
from domain.callback_queue.events import QueueDeleted
from domain.model import Envelope, Recorded, tag_of
from domain.task.events import TaskCancelled
from infrastructure.event_log.decisions import decide_and_append
from infrastructure.policies.registry import POLICIES, policies
from tests.support.histories import call_id_of, filed
from tests.support.policies import (
    callback_of,
    failed_attempt,
    file_callback_task,
    go_on,
    history,
    open_queue,
    organization,
    react,
    schedule,
    timetable,
)
from tests.support.views import Views, new_task, open_views

pytestmark = pytest.mark.anyio

STARTED = AttemptStarted(attempt=1, call_id=call_id_of(1))
SUCCEEDED = (AttemptSucceeded(attempt=1), CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b"))
URLS = {"url_before": "https://example.org/before", "url_after": "https://example.org/after"}


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


async def record_a_day(views: Views) -> list[str]:
    """Record facts for every policy to handle; return the streams, which no policy has handled yet."""
    queue_id, doomed = await open_queue(views), await open_queue(views)
    await organization(views, callback_queue=queue_id)
    callbacks = [
        await schedule(views, queue_id, **URLS),
        await schedule(views, queue_id, STARTED, *SUCCEEDED, **URLS),
        await schedule(views, queue_id, *failed_attempt(), try_count=2),
        await schedule(views, queue_id, *failed_attempt(), try_count=1, **URLS),
        await schedule(views, queue_id, CallbackCancelled(), **URLS),
        await schedule(views, doomed, **URLS),
    ]
    tasks = [await file_callback_task(views) for _ in range(3)]
    await go_on(views, f"task/{tasks[1]}", TaskCancelled())
    await go_on(views, f"queue/{doomed}", QueueDeleted())
    return [f"callback/{number}" for number in callbacks] + [f"task/{task_id}" for task_id in tasks]


async def outcome(views: Views, streams: Sequence[str]) -> dict[str, Any]:
    """Return the results without ids and times, which depend on the order in which policies run."""
    facts = {stream: [tag_of(event.fact) for event in await history(views, stream)] for stream in streams}
    return {
        "facts": list(facts.values()),
        "tags": Counter(tag for (tag,) in await views.rows("SELECT topic FROM perezvon_1.stored_events")),
        "waiting": len(await timetable(views)),
        "slots": await views.rows("SELECT is_on, is_deleted, slots FROM perezvon_1.queue_slots ORDER BY queue_id"),
        "tasks": len(await views.rows("SELECT FROM perezvon_1.task_callbacks")),
        "deliveries": await views.rows("SELECT kind, url FROM perezvon_1.webhook_deliveries ORDER BY kind, url"),
        "parked": await views.rows("SELECT name, stream FROM perezvon_1.parked_streams"),
    }


EXPECTED_TAGS = {
    "callback.delayed.v1": 1,
    "callback.finished.v1": 2,
    "callback.scheduled.v1": 8,
    "callback.cancelled.v1": 1,
}


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_the_size_of_batches_does_not_matter(views: Views, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = await record_a_day(views)
    for policy in policies().values():
        monkeypatch.setattr(type(policy), "tuning", replace(policy.tuning, batch_events=size))
    await react(views)
    found = await outcome(views, streams)
    assert found["tags"].items() >= EXPECTED_TAGS.items()
    assert (found["waiting"], found["tasks"], found["parked"]) == (5, 2, [])
    assert found["slots"] == [(True, False, 1), (True, True, 1)]
    assert [kind for kind, _ in found["deliveries"]] == ["after"] * 3 + ["before"] * 2


@pytest.mark.parametrize("name", POLICIES)
async def test_a_policy_that_dies_before_the_commit_has_done_nothing_and_does_it_once(
    views: Views, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = await record_a_day(views)
    before = await outcome(views, streams)
    kind = type(policies()[name])
    react_to = kind.handle

    async def die_afterwards(self: Any, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        await react_to(self, connection, events)
        await views.do("SELECT pg_terminate_backend(%s)", connection.info.backend_pid)
        await connection.execute("SELECT 1")

    monkeypatch.setattr(kind, "handle", die_afterwards)
    running = views.runner(name)
    try:
        await running.step()
    except StorageUnavailable:
        pass
    else:
        pytest.fail(f"record_a_day records no fact that {name} handles")
    assert await outcome(views, streams) == before
    monkeypatch.undo()
    while await running.step():
        pass
    once = await outcome(views, streams)
    assert once != before
    await react(views, name)
    assert await outcome(views, streams) == once


@pytest.mark.parametrize("name", ["retry_callbacks", "keep_timetable", "notify_webhooks"])
async def test_what_is_seen_twice_is_done_once(views: Views, name: str) -> None:
    streams = await record_a_day(views)
    await react(views, name)
    once = await outcome(views, streams)
    await views.do("UPDATE perezvon_1.checkpoints SET position = 0 WHERE name = %s", name)
    await react(views, name)
    assert await outcome(views, streams) == once


async def test_between_a_failed_attempt_and_its_retry_nobody_need_live(views: Views) -> None:
    # A new policy is created for each batch: only Postgres knows of the retry.
    callback_id = await schedule(views, await open_queue(views), *failed_attempt(), try_again_pause=60)
    await react(views, "retry_callbacks")
    await react(views, "keep_timetable")
    events = await history(views, f"callback/{callback_id}")
    failed, delayed = events[-2:]
    ((_, _, due_at, position),) = (await timetable(views)).values()
    assert (due_at - failed.recorded_at).total_seconds() == 60
    assert position == delayed.position


async def test_an_idle_policy_writes_next_to_nothing_and_does_not_seem_to_stand_still(views: Views) -> None:
    await views.record(f"task/{new_task()}", filed())
    running = views.runner("retry_callbacks")
    assert await running.step() == 1
    for _ in range(20):
        await views.record(f"task/{new_task()}", filed())
        assert await running.step() == 0
    running._committed_at -= 60
    assert await views.positions.position("retry_callbacks") == 1
    assert await running.step() == 20
    assert await views.positions.position("retry_callbacks") == 21


async def test_a_policy_that_was_idle_reacts_to_what_concerns_it(views: Views) -> None:
    queue_id = await open_queue(views)
    running = views.runner("retry_callbacks")
    assert await running.step() == 1
    for _ in range(2):
        await views.record(f"task/{new_task()}", filed())
        assert await running.step() == 0
        callback_id = await schedule(views, queue_id, *failed_attempt())
        assert await running.step() > 0
        assert (await history(views, f"callback/{callback_id}"))[-1].actor == "policy/retry_callbacks"
        assert await running.step() > 0  # events that it appended itself


async def test_of_a_policy_in_two_places_each_event_is_answered_once(views: Views) -> None:
    queue_id = await open_queue(views)
    runners = [views.runner("retry_callbacks") for _ in range(2)]
    ids: list[int] = []
    for turn in range(6):
        ids.append(await schedule(views, queue_id, *failed_attempt()))
        await runners[turn % 2].step()
        await runners[turn % 3 % 2].step()
    for callback_id in ids:
        tags = [tag_of(event.fact) for event in await history(views, f"callback/{callback_id}")]
        assert tags.count("callback.delayed.v1") == 1


async def append(views: Views, stream: str, *facts: Any, actor: str, cause: Recorded[Any]) -> Recorded[Any]:
    """Record facts with an event as their cause."""
    envelope = Envelope(organization_id=1, actor=actor, causation=str(cause.position), correlation=cause.correlation)
    async with views.pool.connection() as connection, connection.transaction():
        (done,) = await decide_and_append(
            connection, [Decision(stream=stream, decide=lambda _: facts, envelope=envelope)]
        )
    assert done is not None
    return done.events[0]


async def causes(views: Views, position: int) -> list[str]:
    """Return the tags of an event and of the events that caused it, and at last the id of the request."""
    walked: list[str] = []
    cause: str | None = str(position)
    while cause is not None and cause.isdecimal():
        ((tag, cause),) = await views.rows(
            "SELECT topic, causation FROM perezvon_1.stored_events WHERE notification_id = %s", int(cause)
        )
        walked.append(tag.removesuffix(".v1"))
    return [*walked, str(cause)]


async def dial(views: Views, callback_id: int, *facts: Any) -> None:
    """Start the attempt of the timetable's entry, and record its outcome, as the dispatcher does."""
    position = (await timetable(views))[callback_id][-1]
    events = await history(views, f"callback/{callback_id}")
    cause = next(event for event in events if event.position == position)
    await views.do("DELETE FROM perezvon_1.timetable WHERE callback_id = %s", callback_id)
    started = await append(views, f"callback/{callback_id}", facts[0], actor="dispatcher", cause=cause)
    await append(views, f"callback/{callback_id}", *facts[1:], actor="switch", cause=started)
    await react(views)


async def test_from_each_webhook_one_walks_back_to_the_request(views: Views) -> None:
    queue_id = await open_queue(views)
    urls = {f"url_{kind}": f"https://example.org/{kind}" for kind in ("before", "before_again", "success", "after")}
    callback_id = await schedule(views, queue_id, request="request-5", **urls)
    await react(views)
    await dial(views, callback_id, *failed_attempt())
    await dial(views, callback_id, AttemptStarted(attempt=2, call_id=call_id_of(2)), AttemptSucceeded(attempt=2))
    rows = await views.rows("SELECT kind, position FROM perezvon_1.webhook_deliveries ORDER BY position")
    first = ["callback.scheduled", "request-5"]
    again = [
        "callback.attempt_started",
        "callback.delayed",
        "callback.attempt_failed",
        "callback.attempt_started",
        *first,
    ]
    assert {kind: await causes(views, position) for kind, position in rows} == {
        "before": ["callback.attempt_started", *first],
        "before_again": again,
        "success": ["callback.attempt_succeeded", *again],
    }


async def test_from_the_end_of_a_task_one_walks_back_to_the_request_that_filed_it(views: Views) -> None:
    await organization(views, callback_queue=await open_queue(views))
    task_id = await file_callback_task(views)
    await react(views)
    callback_id = await callback_of(views, task_id)
    assert callback_id is not None
    await dial(views, callback_id, STARTED, *SUCCEEDED)
    events = await history(views, f"task/{task_id}")
    assert [event.correlation for event in events] == ["request-1"] * 3
    assert await causes(views, events[-1].position) == [
        "task.completed",
        "callback.attempt_succeeded",
        "callback.attempt_started",
        "callback.scheduled",
        "task.filed",
        "request-1",
    ]
