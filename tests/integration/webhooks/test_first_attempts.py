"""First attempts that the dispatcher waits for."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest
from msgspec.structs import replace

from application.fair_share import FairShare
from application.policies.notify_webhooks import Message, WebhookKind
from application.ports.webhooks import Untold
from infrastructure.postgres.connections import service_dsn
from infrastructure.webhooks.first_attempts import PER_LANE_MAX, WAITED_FOR_MAX
from tests.support.receiving import never, receiving
from tests.support.waiting import eventually_async
from tests.support.webhooks import (
    OPTIONS,
    ORGANIZATION,
    change,
    deliveries,
    enqueue_all,
    late_lanes,
    message,
    states,
    worker,
)
from tests.support.worker_parts import first_attempt_sender

pytestmark = pytest.mark.anyio


def before(url: str, *, callback_id: int = 1) -> Message:
    return message(url, kind=WebhookKind.BEFORE, callback_id=callback_id)


async def send_first(dsn: str, messages: Sequence[Message], wait_s: float = 3.0) -> Untold | None:
    """Store messages with a lease and make their first attempts at once."""
    holder = uuid4()
    await enqueue_all(dsn, messages, leased_to=holder)
    async with first_attempt_sender(service_dsn(dsn), replace(OPTIONS, before_wait=wait_s)) as first:
        return await first.send(messages, holder)


async def test_responses_are_recorded_when_send_returns(database: str) -> None:
    async with receiving() as receiver, first_attempt_sender(service_dsn(database), OPTIONS) as first:
        holder, sent = uuid4(), [before(receiver.url, callback_id=number) for number in range(20)]
        await enqueue_all(database, sent, leased_to=holder)
        assert set(await asyncio.gather(*(first.send([one], holder) for one in sent))) == {None}
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
        async with first_attempt_sender(service_dsn(database), options) as first:
            holder, one = uuid4(), before(receiver.url)
            await enqueue_all(database, [one], leased_to=holder)
            assert await first.send([one], holder) is Untold.NO_RESPONSE
            assert states(database) == {"pending"}
            responding.set()
        assert states(database) == {"delivered"}
    assert len(receiver.got) == 1


async def test_a_failed_one_is_retried_by_the_delivery_loop_on_the_short_schedule(database: str) -> None:
    async with receiving() as receiver:
        receiver.responses += [500]
        one = before(receiver.url)
        assert await send_first(database, [one]) is Untold.FAILED
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
        assert await send_first(database, [newer]) is Untold.HELD_BACK
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
        assert await send_first(database, [parked], wait_s=60.0) is Untold.HELD_BACK
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


async def test_silent_receivers_of_one_organisation_take_no_place_from_another(database: str) -> None:
    ended = asyncio.Event()

    async def silent(_: object) -> int:
        await ended.wait()
        return 204

    async with receiving("0.0.0.0") as hole, receiving("127.255.0.1") as healthy:  # noqa: S104 - all loopback addresses
        hole.default = silent
        port = hole.url.rpartition(":")[2]
        hosts = [f"http://127.1.{number // 250}.{number % 250}:{port}" for number in range(2 * WAITED_FOR_MAX)]
        options = replace(OPTIONS, before_wait=600.0, timeout=30.0)
        async with first_attempt_sender(service_dsn(database), options) as first:
            holder = uuid4()
            hostile = [before(host, callback_id=number) for number, host in enumerate(hosts)]
            mine = message(healthy.url, kind=WebhookKind.BEFORE, callback_id=10_000, organization_id=ORGANIZATION + 64)
            await enqueue_all(database, [*hostile, mine], leased_to=holder)
            waiting = [asyncio.create_task(first.send([one], holder)) for one in hostile]

            async def hostile_share_is_used_up() -> bool:
                return hole.in_flight == WAITED_FOR_MAX // 2

            await eventually_async(hostile_share_is_used_up)
            assert await first.send([mine], holder) is None
            assert hole.in_flight == WAITED_FOR_MAX // 2
            ended.set()
            outcomes = await asyncio.gather(*waiting)
        assert outcomes.count(Untold.NO_PLACE) == len(hostile) - WAITED_FOR_MAX // 2
    assert late_lanes(database) == []


async def test_a_place_is_free_again_when_the_dialler_stops_waiting(database: str) -> None:
    ended = asyncio.Event()

    async def silent(_: object) -> int:
        await ended.wait()
        return 204

    async with receiving() as hole:
        hole.default = silent
        options = replace(OPTIONS, before_wait=0.1, timeout=30.0)
        async with first_attempt_sender(service_dsn(database), options) as first:
            holder, sent = uuid4(), [before(hole.url, callback_id=number) for number in range(2)]
            await enqueue_all(database, sent, leased_to=holder)
            first._waited_for = FairShare("first attempts", 1)
            for one in sent:
                assert await first.send([one], holder) is Untold.NO_RESPONSE
            assert hole.in_flight == 2
            ended.set()
        assert states(database) == {"delivered"}


async def test_without_a_wait_no_call_counts_as_untold(database: str) -> None:
    async with receiving() as receiver:
        assert await send_first(database, [before(receiver.url)], wait_s=0.0) is None
    assert states(database) == {"delivered"}


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
