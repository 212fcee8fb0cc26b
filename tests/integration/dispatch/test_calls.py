"""The dispatcher: due callbacks are dialled within the limit, each attempt once, and outcomes are recorded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest
from psycopg import AsyncConnection

from application.policies.notify_webhooks import Message, WebhookKind
from domain.callback.events import AttemptStarted, CallbackCancelled, CallEnd, CallEnded, Leg, Outcome
from domain.model import Recorded
from infrastructure.dispatch.leadership_term import call_id
from infrastructure.event_log.identity import read_identity
from infrastructure.gateways.simulated.network import Network
from tests.support.dispatching import ANSWERS, BUSY, RINGS, Exchange, Starting, open_exchange
from tests.support.logs import pids_waiting_to_append
from tests.support.waiting import eventually, eventually_async

pytestmark = pytest.mark.anyio

SUCCEEDED = ["scheduled", "attempt_started", "attempt_succeeded", "finished", "call_ended"]
SLOW = 1.0  # real time: a call that was started does not end within a test


@pytest.fixture
async def exchange(database: str) -> AsyncIterator[Exchange]:
    async with open_exchange(database) as opened:
        yield opened


@pytest.fixture
async def slow_exchange(database: str) -> AsyncIterator[Exchange]:
    async with open_exchange(database, Network(speed=SLOW)) as opened:
        yield opened


async def starts(exchange: Exchange, ids: Sequence[int]) -> list[int]:
    """Return the callbacks in the order in which their attempts were recorded."""
    histories = await exchange.histories(ids)
    events = [event for facts in histories.values() for event in facts if isinstance(event.fact, AttemptStarted)]
    return [int(event.stream.removeprefix("callback/")) for event in sorted(events, key=_position)]


def _position(event: Recorded[AttemptStarted]) -> int:
    return event.position


async def taken(exchange: Exchange, queue_id: int) -> int:
    rows = await exchange.rows("SELECT taken FROM perezvon_1.queue_slots WHERE queue_id = %s", queue_id)
    return rows[0][0]


async def test_a_due_callback_is_dialled_and_what_the_switch_tells_is_recorded(exchange: Exchange) -> None:
    answered, busy = await exchange.callbacks(await exchange.queue(), [ANSWERS, BUSY])
    exchange.dispatch()
    await exchange.all_ended([answered, busy])
    assert await exchange.tags(answered) == SUCCEEDED
    assert await exchange.tags(busy) == ["scheduled", "attempt_started", "attempt_failed"]


async def test_each_fact_names_its_cause_and_who_told_it(exchange: Exchange) -> None:
    (answered,) = await exchange.callbacks(await exchange.queue(), [ANSWERS])
    exchange.dispatch()
    await exchange.all_ended([answered])
    scheduled, started, *outcome = (await exchange.histories([answered]))[answered]
    assert (started.actor, started.causation) == ("dispatcher", str(scheduled.position))
    assert {(event.actor, event.causation) for event in outcome} == {("switch", str(started.position))}
    assert {event.correlation for event in (started, *outcome)} == {"request-1"}
    assert {event.organization_id for event in (started, *outcome)} == {1}


async def test_the_id_of_a_call_is_derived_from_the_log_the_callback_and_the_attempt(exchange: Exchange) -> None:
    (answered,) = await exchange.callbacks(await exchange.queue(), [ANSWERS])
    exchange.dispatch()
    await exchange.all_ended([answered])
    log_id = (await read_identity(exchange.owner)).at(1)
    assert (await exchange.callback(answered)).call_id == call_id(log_id, answered, 1)
    assert call_id(log_id, answered, 1) != call_id(UUID(int=1), answered, 1) != call_id(UUID(int=1), answered, 2)


async def test_what_is_not_due_waits_and_starts_when_it_is_without_being_told(exchange: Exchange) -> None:
    queue = await exchange.queue()
    (later,) = await exchange.callbacks(queue, [ANSWERS], due_in_s=1.5)
    (now,) = await exchange.callbacks(queue, [ANSWERS])
    due_at = (await exchange.rows("SELECT due_at FROM perezvon_1.timetable WHERE callback_id = %s", later))[0][0]
    exchange.dispatch()
    await exchange.all_ended([now])
    assert await exchange.tags(later) == ["scheduled"]
    await exchange.all_ended([later])
    started = (await exchange.histories([later]))[later][1]
    assert started.recorded_at >= due_at


async def test_a_queue_starts_its_oldest_first_and_never_more_than_its_limit(exchange: Exchange) -> None:
    queue = await exchange.queue(2)
    ids = await exchange.callbacks(queue, [ANSWERS] * 9)
    exchange.dispatch()
    await exchange.all_ended(ids)
    assert await starts(exchange, ids) == ids
    assert exchange.network.counts().most == 2
    assert await taken(exchange, queue) == 0


async def test_the_slot_of_a_joined_call_is_free_only_at_its_end(slow_exchange: Exchange) -> None:
    queue = await slow_exchange.queue(1)
    first, second = await slow_exchange.callbacks(queue, [ANSWERS] * 2)
    slow_exchange.dispatch()

    async def is_joined() -> bool:
        return await slow_exchange.tags(first) == SUCCEEDED[:-1]

    await eventually_async(is_joined)
    assert await taken(slow_exchange, queue) == 1
    assert await slow_exchange.tags(second) == ["scheduled"]


async def test_a_queue_that_is_off_starts_nothing_and_what_is_due_starts_once_it_is_on(exchange: Exchange) -> None:
    off, on = await exchange.queue(is_on=False), await exchange.queue()
    waiting = await exchange.callbacks(off, [ANSWERS] * 3)
    others = await exchange.callbacks(on, [ANSWERS] * 3)
    exchange.dispatch()
    await exchange.all_ended(others)
    assert await starts(exchange, waiting) == []
    await exchange.do("UPDATE perezvon_1.queue_slots SET is_on = true")
    await exchange.notify()
    await exchange.all_ended(waiting)


async def test_a_call_that_runs_when_its_queue_is_switched_off_is_left_to_end(exchange: Exchange) -> None:
    queue = await exchange.queue(1)
    first, second = await exchange.callbacks(queue, [RINGS, ANSWERS])
    exchange.dispatch()
    await exchange.all_started([first])
    await exchange.do("UPDATE perezvon_1.queue_slots SET is_on = false")
    await exchange.all_ended([first])
    last = (await exchange.callback(first)).last_end
    assert last is not None
    assert last.outcome is Outcome.NO_ANSWER
    assert await exchange.tags(second) == ["scheduled"]


async def test_below_a_lowered_limit_nothing_starts_until_so_many_have_ended(exchange: Exchange) -> None:
    queue = await exchange.queue(3)
    running = await exchange.callbacks(queue, [RINGS] * 3)
    exchange.dispatch()
    await exchange.all_started(running)
    await exchange.do("UPDATE perezvon_1.queue_slots SET slots = 1")
    waiting = await exchange.callbacks(queue, [ANSWERS] * 2)
    await exchange.all_ended([*running, *waiting])
    ends = [facts[-1].position for facts in (await exchange.histories(running)).values()]
    started = [facts[1].position for facts in (await exchange.histories(waiting)).values()]
    assert min(started) > max(ends)


async def test_two_dispatchers_keep_the_limit_and_start_each_attempt_once(exchange: Exchange) -> None:
    ids = await exchange.callbacks(await exchange.queue(3), [ANSWERS, BUSY] * 15)
    leader, _ = exchange.dispatch(), exchange.dispatch()
    await exchange.all_started(ids[:10])
    await exchange.stop(leader)
    await exchange.all_ended(ids)
    counts = exchange.network.counts()
    assert (counts.most, counts.most_dials, counts.placed) == (3, 1, 30)
    assert {(await exchange.callback(one)).attempt for one in ids} == {1}


async def test_the_webhook_before_is_tried_once_the_attempt_is_on_record_and_before_the_dial(
    exchange: Exchange,
) -> None:
    announced: list[tuple[WebhookKind, list[str], int]] = []

    async def announce(messages: Sequence[Message], leased_to: UUID) -> None:
        (message,) = messages
        (row,) = await exchange.rows("SELECT leased_to FROM perezvon_1.webhook_deliveries WHERE id = %s", message.id)
        assert row == (leased_to,)
        announced.append((message.kind, await exchange.tags(one), exchange.network.counts().placed))

    queue = await exchange.queue()
    (one,) = await exchange.callbacks(queue, [ANSWERS], url_before="https://example.com/before")
    exchange.dispatch(announce=announce)
    await exchange.all_ended([one])
    assert announced == [(WebhookKind.BEFORE, ["scheduled", "attempt_started"], 0)]


async def test_a_callback_that_was_cancelled_loses_its_row_and_is_not_dialled(exchange: Exchange) -> None:
    queue = await exchange.queue(is_on=False)
    cancelled, other = await exchange.callbacks(queue, [ANSWERS] * 2)
    await exchange.append(cancelled, CallbackCancelled(), version=1)
    await exchange.do("UPDATE perezvon_1.queue_slots SET is_on = true")
    exchange.dispatch()
    await exchange.all_ended([other])
    assert await exchange.tags(cancelled) == ["scheduled", "cancelled"]
    assert await exchange.rows("SELECT * FROM perezvon_1.timetable") == []
    assert exchange.network.counts().placed == 1
    assert await taken(exchange, queue) == 0


async def test_cancelled_between_being_read_and_the_door_it_is_not_dialled(exchange: Exchange) -> None:
    queue = await exchange.queue()
    cancelled, other = await exchange.callbacks(queue, [ANSWERS] * 2)
    async with await AsyncConnection.connect(exchange.dsn, autocommit=True) as canceller:
        async with canceller.transaction():
            await exchange.append(cancelled, CallbackCancelled(), version=1, connection=canceller)
            exchange.dispatch()
            await asyncio.to_thread(eventually, lambda: pids_waiting_to_append(exchange.dsn))
        await exchange.all_ended([other])
    assert await exchange.tags(cancelled) == ["scheduled", "cancelled"]
    assert exchange.network.counts().placed == 1
    assert await taken(exchange, queue) == 0


async def test_of_a_callback_cancelled_in_mid_call_the_end_is_recorded_all_the_same(exchange: Exchange) -> None:
    queue = await exchange.queue()
    (one,) = await exchange.callbacks(queue, [RINGS])
    exchange.dispatch()
    await exchange.all_started([one])
    await exchange.append(one, CallbackCancelled(), version=2)
    await exchange.all_ended([one])
    assert await exchange.tags(one) == ["scheduled", "attempt_started", "cancelled", "call_ended"]
    assert await taken(exchange, queue) == 0


async def test_the_call_of_a_deleted_callback_is_hung_up(slow_exchange: Exchange) -> None:
    queue = await slow_exchange.queue(1)
    first, second = await slow_exchange.callbacks(queue, [RINGS, ANSWERS])
    slow_exchange.dispatch()
    await slow_exchange.all_started([first])
    await _deleted(slow_exchange, first)
    await slow_exchange.all_ended([first])
    last = (await slow_exchange.histories([first]))[first][-1].fact
    assert isinstance(last, CallEnded)
    assert last.end.outcome is Outcome.CANCELLED
    await slow_exchange.all_started([second])


async def test_a_callback_deleted_before_its_dial_is_never_dialled(exchange: Exchange) -> None:
    async def announce(messages: Sequence[Message], leased_to: UUID) -> None:
        await _deleted(exchange, one)
        await released.wait()

    released = asyncio.Event()
    queue = await exchange.queue()
    (one,) = await exchange.callbacks(queue, [ANSWERS], url_before="https://example.com/before")
    exchange.dispatch(announce=announce)
    await exchange.all_started([one])

    async def is_hung_up() -> bool:
        rows = await exchange.rows("SELECT hang_up FROM perezvon_1.open_calls")
        return rows == [(True,)]

    await eventually_async(is_hung_up)
    (other,) = await exchange.callbacks(queue, [ANSWERS])
    await exchange.all_ended([other])
    released.set()
    await exchange.all_ended([one])
    last = (await exchange.callback(one)).last_end
    assert last == CallEnd(outcome=Outcome.CANCELLED, leg=Leg.A)
    assert exchange.network.counts().placed == 1


async def _deleted(exchange: Exchange, callback_id: int) -> None:
    """Delete a callback while its call is live, and do what keep_timetable does then."""
    await exchange.append(callback_id, CallbackCancelled(), version=2)
    await exchange.do("UPDATE perezvon_1.open_calls SET hang_up = true WHERE callback_id = %s", callback_id)
    await exchange.notify()


async def test_what_waits_in_a_deleted_queue_is_cancelled_and_what_runs_is_left_to_end(exchange: Exchange) -> None:
    queue = await exchange.queue(1)
    running, *waiting = await exchange.callbacks(queue, [RINGS, *[ANSWERS] * 20])
    exchange.dispatch()
    await exchange.all_started([running])
    await exchange.do("UPDATE perezvon_1.queue_slots SET is_deleted = true")
    await exchange.all_ended([running])

    async def all_cancelled() -> bool:
        return {tuple(await exchange.tags(one)) for one in waiting} == {("scheduled", "cancelled")}

    await eventually_async(all_cancelled)
    last = (await exchange.callback(running)).last_end
    assert last is not None
    assert last.outcome is Outcome.NO_ANSWER
    cancelled = (await exchange.histories(waiting[:1]))[waiting[0]][-1]
    assert (cancelled.actor, cancelled.correlation) == ("dispatcher", "request-1")
    assert cancelled.reason == "the queue was deleted"


async def test_a_callback_that_cannot_be_read_is_left_alone_and_holds_up_nobody(exchange: Exchange) -> None:
    queue = await exchange.queue(is_on=False)
    spoilt, *others = await exchange.callbacks(queue, [ANSWERS] * 5)
    await exchange.append_unreadable(spoilt, version=2)
    await exchange.do("UPDATE perezvon_1.queue_slots SET is_on = true")
    exchange.dispatch()
    await exchange.all_ended(others)
    assert await exchange.rows("SELECT callback_id, held_by FROM perezvon_1.timetable") == [(spoilt, "unreadable")]
    assert exchange.network.counts().placed == 4


async def test_organisations_and_their_queues_take_turns(exchange: Exchange) -> None:
    async with exchange.leading() as term:
        many = [await exchange.queue(organization_id=1) for _ in range(3)]
        one = await exchange.queue(organization_id=2)
        for queue in many:
            await exchange.callbacks(queue, [ANSWERS] * 20, organization_id=1)
        await exchange.callbacks(one, [ANSWERS] * 20, organization_id=2)
        batch = await Starting(term).start(12)
        by_queue = [sum(due.open_call.queue_id == queue for due in batch) for queue in (*many, one)]
        assert by_queue == [2, 2, 2, 6]


@pytest.mark.parametrize(
    "payload", ["x", "1@x", f"{1 << 63}@", f"1@{10**30}", ",".join(f"{n}@" for n in range(9, 500))]
)
async def test_notifications_of_strangers_stop_nothing(exchange: Exchange, payload: str) -> None:
    queue = await exchange.queue()
    exchange.dispatch()
    await exchange.all_ended(await exchange.callbacks(queue, [ANSWERS]))
    await exchange.do("SELECT pg_notify('timetable', %s)", payload)
    await exchange.all_ended(await exchange.callbacks(queue, [ANSWERS]))
