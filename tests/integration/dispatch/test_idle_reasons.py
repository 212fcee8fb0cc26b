"""The queue board beside a dispatcher that starts nothing: the reason, and until when."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta

import pytest

from application.queries.queue_board import Idle, QueueBoardRow
from domain.organization.limits import Limits
from tests.support.dispatching import ANSWERS, RINGS, Exchange, open_exchange
from tests.support.views import Views, open_views
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio


@pytest.fixture
async def exchange(database: str) -> AsyncIterator[Exchange]:
    async with open_exchange(database) as opened:
        yield opened


@pytest.fixture
async def views(exchange: Exchange) -> AsyncIterator[Views]:
    async with open_views(exchange.dsn) as opened:
        yield opened


async def listed_queue(exchange: Exchange, organization_id: int = 1) -> int:
    """Create a queue that the board lists."""
    queue = await exchange.queue(organization_id=organization_id)
    await exchange.do(
        "INSERT INTO perezvon_1.queue_board VALUES (%s, %s, 1, 'Queue', NULL, 'on', 100, now(), false)",
        queue,
        organization_id,
    )
    return queue


async def idle_because(views: Views, queue: int, reason: Idle | None, organization_id: int = 1) -> QueueBoardRow:
    """Wait until the board shows the reason; return the queue's row."""
    found: list[QueueBoardRow] = []

    async def is_shown() -> bool:
        found[:] = (await views.queue_board.rows(organization_id, queue_id=queue, limit=1)).items
        return found[0].idle is reason

    await eventually_async(is_shown)
    return found[0]


async def test_the_quota_of_the_day_is_shown_until_midnight_to_its_organisation_only(
    exchange: Exchange, views: Views
) -> None:
    mine, theirs = await listed_queue(exchange), await listed_queue(exchange, 2)
    ids = await exchange.callbacks(mine, [ANSWERS] * 3)
    exchange.dispatch(limits=Limits(calls_per_day=2))
    await exchange.all_ended(ids[:2])
    held = await idle_because(views, mine, Idle.DAILY_QUOTA)
    assert held.idle_until is not None
    assert held.idle_until.astimezone(UTC).time() == time()
    (ended,) = await exchange.callbacks(theirs, [ANSWERS], organization_id=2)
    await exchange.all_ended([ended])
    assert (await idle_because(views, theirs, Idle.NOTHING_DUE, 2)).idle_until is None


async def test_a_number_that_was_called_too_often_in_an_hour_is_shown_until_it_may_be_called(
    exchange: Exchange, views: Views
) -> None:
    queue = await listed_queue(exchange)
    first, _ = await exchange.callbacks(queue, [ANSWERS] * 2)
    exchange.dispatch(limits=Limits(attempts_per_number_hour=1))
    await exchange.all_ended([first])
    held = await idle_because(views, queue, Idle.NUMBER_QUOTA)
    assert held.idle_until is not None
    assert timedelta(minutes=59) < held.idle_until - datetime.now(UTC) < timedelta(minutes=61)


async def test_clients_that_have_calls_are_shown_and_a_dispatcher_that_stops(exchange: Exchange, views: Views) -> None:
    queue = await listed_queue(exchange)
    await exchange.do("UPDATE perezvon_1.queue_slots SET client_leg = 'a'")
    ids = await exchange.callbacks(queue, [RINGS] * 2)
    dispatcher = exchange.dispatch()
    await exchange.all_started(ids[:1])
    await idle_because(views, queue, Idle.CLIENT_BUSY)
    await exchange.all_ended(ids)
    await exchange.stop(dispatcher)
    await exchange.callbacks(queue, [ANSWERS])
    await idle_because(views, queue, Idle.SWITCH_AWAY)
