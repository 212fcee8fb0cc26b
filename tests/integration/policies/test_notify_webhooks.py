"""The policy notify_webhooks: messages for a callback's URLs, and their causes."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection, OperationalError

from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFinished,
    FinishResult,
)
from domain.model import Recorded, tag_of
from infrastructure.policies.schedule_cache import ScheduleCache
from tests.support.histories import BUSY, START, call_id_of, scheduled
from tests.support.policies import go_on, history, open_queue, react, schedule
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio

URLS = {f"url_{kind}": f"https://example.org/{kind}" for kind in ("before", "before_again", "success", "after")}
TWO_ATTEMPTS = [
    AttemptStarted(attempt=1, call_id=call_id_of(1)),
    AttemptFailed(attempt=1, end=BUSY),
    CallbackDelayed(due_at=START),
    AttemptStarted(attempt=2, call_id=call_id_of(2)),
    AttemptSucceeded(attempt=2),
    CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b"),
]


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


async def deliveries(views: Views) -> list[tuple[Any, ...]]:
    return await views.rows(
        "SELECT callback_id, kind, url, position FROM perezvon_1.webhook_deliveries ORDER BY position"
    )


async def test_each_url_is_told_of_its_events_in_their_order(views: Views) -> None:
    callback_id = await schedule(views, await open_queue(views), *TWO_ATTEMPTS, **URLS)
    await react(views, "notify_webhooks")
    rows = await deliveries(views)
    assert [(row[0], row[1]) for row in rows] == [
        (callback_id, kind) for kind in ("before", "before_again", "success", "after")
    ]
    assert [row[2] for row in rows] == list(URLS.values())
    told = {event.position: tag_of(event.fact) for event in await history(views, f"callback/{callback_id}")}
    assert [told[row[3]].split(".")[1] for row in rows] == [
        "attempt_started",
        "attempt_started",
        "attempt_succeeded",
        "finished",
    ]


async def test_what_names_no_url_tells_nobody(views: Views) -> None:
    queue_id = await open_queue(views)
    await schedule(views, queue_id, *TWO_ATTEMPTS)
    cancelled = await schedule(views, queue_id, CallbackCancelled(), url_after="https://example.org/after")
    await react(views, "notify_webhooks")
    assert [row[:2] for row in await deliveries(views)] == [(cancelled, "after")]


async def test_the_urls_are_known_however_many_batches_and_callbacks_ago_they_were_given(views: Views) -> None:
    queue_id = await open_queue(views)
    ids = [await schedule(views, queue_id, url_after=f"https://example.org/{n}") for n in range(3)]
    for callback_id in ids:
        await go_on(views, f"callback/{callback_id}", CallbackCancelled())
        await react(views, "notify_webhooks")
    assert [row[2] for row in await deliveries(views)] == [f"https://example.org/{n}" for n in range(3)]


@pytest.fixture
async def cancelled(views: Views) -> list[Recorded[Any]]:
    """Return the last facts of three callbacks."""
    queue_id = await open_queue(views)
    ids = [await schedule(views, queue_id, CallbackCancelled()) for _ in range(3)]
    return [(await history(views, f"callback/{callback_id}"))[1] for callback_id in ids]


async def test_a_schedule_is_read_once_and_the_oldest_ones_are_forgotten(
    views: Views, cancelled: list[Recorded[Any]]
) -> None:
    expected = {event.stream: (await history(views, event.stream))[0].fact for event in cancelled}
    schedules = ScheduleCache(max_entries=2)
    for event in cancelled:
        assert await schedules.load(views.owner, [event]) == {event.stream: expected[event.stream]}
    closed = await AsyncConnection.connect(views.dsn)
    await closed.close()
    assert await schedules.load(closed, cancelled[1:]) == {e.stream: expected[e.stream] for e in cancelled[1:]}
    with pytest.raises(OperationalError):
        await schedules.load(closed, cancelled)


async def test_in_another_log_a_stream_of_the_same_name_is_another(
    views: Views, cancelled: list[Recorded[Any]]
) -> None:
    schedules, (event, *_) = ScheduleCache(), cancelled
    right = (await history(views, event.stream))[0].fact
    schedules._log_id, schedules._known = event.log_id, {event.stream: scheduled(name="of another log")}
    assert await schedules.load(views.owner, [event]) != {event.stream: right}
    assert await schedules.load(views.owner, [replace(event, log_id=uuid4())]) == {event.stream: right}
