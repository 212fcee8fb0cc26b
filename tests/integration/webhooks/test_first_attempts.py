"""First attempts that the dispatcher waits for."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest
from msgspec.structs import replace

from application.policies.notify_webhooks import Message, WebhookKind
from infrastructure.postgres.connections import service_dsn
from infrastructure.webhooks.delivery_worker import open_first_attempt_sender
from infrastructure.webhooks.first_attempts import PER_LANE_MAX
from tests.support.receiving import never, receiving
from tests.support.waiting import eventually_async
from tests.support.webhooks import OPTIONS, change, deliveries, enqueue_all, message, states, worker

pytestmark = pytest.mark.anyio


def before(url: str, *, callback_id: int = 1) -> Message:
    return message(url, kind=WebhookKind.BEFORE, callback_id=callback_id)


async def send_first(dsn: str, messages: Sequence[Message], wait_s: float = 3.0) -> None:
    """Store messages with a lease and make their first attempts at once."""
    holder = uuid4()
    await enqueue_all(dsn, messages, leased_to=holder)
    async with open_first_attempt_sender(service_dsn(dsn), replace(OPTIONS, before_wait=wait_s)) as first:
        await first.send(messages, holder)


async def test_responses_are_recorded_when_send_returns(database: str) -> None:
    async with receiving() as receiver, open_first_attempt_sender(service_dsn(database), OPTIONS) as first:
        holder, sent = uuid4(), [before(receiver.url, callback_id=number) for number in range(20)]
        await enqueue_all(database, sent, leased_to=holder)
        await asyncio.gather(*(first.send([one], holder) for one in sent))
        assert states(database) == {"delivered"}
    assert sorted(receiver.ids()) == sorted(one.id for one in sent)
    assert all(row["leased_to"] is None for row in deliveries(database).values())


async def test_send_waits_no_longer_than_the_setting_and_the_response_is_still_recorded(
    database: str,
) -> None:
    responding = asyncio.Event()

    async def slow(_: object) -> int:
        await responding.wait()
        return 204

    async with receiving() as receiver:
        receiver.default = slow
        options = replace(OPTIONS, before_wait=0.1, timeout=20.0)
        async with open_first_attempt_sender(service_dsn(database), options) as first:
            holder, one = uuid4(), before(receiver.url)
            await enqueue_all(database, [one], leased_to=holder)
            await first.send([one], holder)
            assert states(database) == {"pending"}
            responding.set()
        assert states(database) == {"delivered"}
    assert len(receiver.got) == 1


async def test_a_failed_one_is_retried_by_the_delivery_loop_on_the_short_schedule(database: str) -> None:
    async with receiving() as receiver:
        receiver.responses += [500]
        one = before(receiver.url)
        await send_first(database, [one])
        assert deliveries(database)[one.id]["attempts"] == 1
        async with worker(database):

            async def is_delivered() -> bool:
                return states(database) == {"delivered"}

            await eventually_async(is_delivered)
    assert [received.headers["webhook-attempt"] for received in receiver.got] == ["1", "2"]


async def test_the_delivery_loop_skips_a_leased_one_until_its_lease_expires(database: str) -> None:
    async with receiving() as receiver, worker(database):
        leased, free = before(receiver.url), message(receiver.url, callback_id=2)
        await enqueue_all(database, [leased], leased_to=uuid4())
        await enqueue_all(database, [free])

        async def free_is_delivered() -> bool:
            return deliveries(database)[free.id]["state"] == "delivered"

        await eventually_async(free_is_delivered)
        assert list(receiver.ids()) == [free.id]
        await change(database, "UPDATE SCHEMA.webhook_deliveries SET due_at = now() WHERE state = 'pending'")

        async def all_are_delivered() -> bool:
            return states(database) == {"delivered"}

        await eventually_async(all_are_delivered)


async def test_a_policy_that_stores_the_same_message_later_does_not_have_it_sent_twice(database: str) -> None:
    async with receiving() as receiver, worker(database):
        one = before(receiver.url)
        await send_first(database, [one])
        await enqueue_all(database, [one])
        await enqueue_all(database, [message(receiver.url, callback_id=2)])

        async def all_are_delivered() -> bool:
            return states(database) == {"delivered"}

        await eventually_async(all_are_delivered)
    assert receiver.ids().count(one.id) == 1


async def test_one_whose_callback_has_an_older_pending_message_waits_for_it(database: str) -> None:
    async with receiving() as receiver:
        older, newer = message(receiver.url), before(receiver.url)
        await enqueue_all(database, [older])
        await send_first(database, [newer])
        assert receiver.got == []
        async with worker(database):

            async def all_are_delivered() -> bool:
                return states(database) == {"delivered"}

            await eventually_async(all_are_delivered)
    assert list(receiver.ids()) == [older.id, newer.id]


async def test_a_host_with_an_open_breaker_is_not_contacted_and_causes_no_wait(database: str) -> None:
    async with receiving() as receiver:
        await send_first(database, [before(receiver.url)])
        await change(database, "UPDATE SCHEMA.webhook_lanes SET open_until = now() + interval '1 hour'")
        parked = before(receiver.url, callback_id=2)
        await send_first(database, [parked], wait_s=60.0)
        assert len(receiver.got) == 1
        assert deliveries(database)[parked.id]["leased_to"] is None


async def test_failures_of_first_attempts_open_the_breaker_too(database: str) -> None:
    async with receiving() as receiver:
        receiver.default = 500
        await send_first(database, [before(receiver.url, callback_id=number) for number in range(10)])
        await send_first(database, [before(receiver.url, callback_id=99)])
        assert len(receiver.got) == 10


async def test_a_black_hole_delays_few_first_attempts_and_the_loop_gets_the_rest(database: str) -> None:
    async with receiving() as hole:
        hole.default = never
        await send_first(database, [before(hole.url, callback_id=number) for number in range(PER_LANE_MAX + 10)], 0.5)
        assert hole.max_in_flight == PER_LANE_MAX
    assert sum(row["attempts"] for row in deliveries(database).values()) == PER_LANE_MAX


async def test_a_late_result_without_the_lease_is_dropped(database: str) -> None:
    responding = asyncio.Event()

    async def slow(_: object) -> int:
        await responding.wait()
        return 500

    async with receiving() as receiver:
        receiver.responses += [slow]
        one = before(receiver.url)
        sending = asyncio.create_task(send_first(database, [one]))

        async def is_received() -> bool:
            return len(receiver.got) == 1

        await eventually_async(is_received)
        await change(database, "UPDATE SCHEMA.webhook_deliveries SET due_at = now()")
        async with worker(database):

            async def is_delivered() -> bool:
                return states(database) == {"delivered"}

            await eventually_async(is_delivered)
        responding.set()
        await sending
    assert deliveries(database)[one.id]["attempts"] == 1
