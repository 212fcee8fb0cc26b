"""Messages reach their receivers: in order, again after failures, and when workers are killed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from aiohttp import web
from msgspec.structs import replace
from psycopg import AsyncConnection

from application.policies.notify_webhooks import WebhookKind
from application.webhook_targets import TargetPolicy, networks_of
from infrastructure.webhooks import breaker
from infrastructure.webhooks.lane_window import NEVER_ANSWERED_IN_FLIGHT, UNPROVEN_IN_FLIGHT
from tests.support.receiving import Received, Receiver, never, receiving
from tests.support.waiting import eventually_async
from tests.support.webhooks import (
    OPTIONS,
    bring_forward,
    change,
    deliveries,
    enqueue_all,
    message,
    rows,
    states,
    worker,
    worker_process,
)

pytestmark = pytest.mark.anyio


def all_are(dsn: str, *expected: str) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return states(dsn) <= set(expected)

    return found


def attempted(dsn: str, message_id: str, times: int) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return deliveries(dsn)[message_id]["attempts"] >= times

    return found


def received_at_least(receiver: Receiver, times: int) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return len(receiver.got) >= times

    return found


async def test_each_message_is_delivered_once_signed_and_unchanged(database: str) -> None:
    async with receiving() as receiver, worker(database):
        sent = [message(f"{receiver.url}/hook", callback_id=number) for number in range(300)]
        await enqueue_all(database, sent)
        await eventually_async(all_are(database, "delivered"))
    assert sorted(receiver.ids()) == sorted(one.id for one in sent)
    bodies = {one.id: one.body for one in sent}
    for received in receiver.got:
        assert received.body == bodies[received.id]
        assert received.headers["content-type"] == "application/json"
        assert received.headers["user-agent"] == "perezvon-webhooks/1"
        assert received.headers["webhook-attempt"] == "1"
        assert received.headers["webhook-signature"].startswith("v1,")


async def test_the_same_message_is_stored_once(database: str) -> None:
    async with receiving() as receiver, worker(database):
        one = message(receiver.url)
        await enqueue_all(database, [one])
        await eventually_async(all_are(database, "delivered"))
        await enqueue_all(database, [one])
        await enqueue_all(database, [other := message(receiver.url, callback_id=2)])
        await eventually_async(all_are(database, "delivered"))
    assert list(receiver.ids()) == [one.id, other.id]


async def test_a_message_older_than_the_retention_is_not_stored(database: str) -> None:
    """Check that a policy that restarts after more than 30 days sends nothing again."""
    await enqueue_all(database, [message("http://example.com/", age_s=31 * 86_400), message("http://example.com/")])
    assert len(deliveries(database)) == 1


async def test_a_failed_attempt_is_made_again_with_the_same_id_and_the_next_number(database: str) -> None:
    async with receiving() as receiver, worker(database):
        receiver.responses += [500, 404, 302]
        one = message(receiver.url)
        await enqueue_all(database, [one])
        for times in (1, 2, 3):
            await eventually_async(attempted(database, one.id, times))
            await bring_forward(database)
        await eventually_async(all_are(database, "delivered"))
    assert [received.headers["webhook-attempt"] for received in receiver.got] == ["1", "2", "3", "4"]
    assert {received.id for received in receiver.got} == {one.id}
    log = rows(database, "SELECT attempt, status, error FROM SCHEMA.webhook_attempts ORDER BY attempt")
    assert [tuple(row.values()) for row in log] == [
        (1, 500, "status_500"), (2, 404, "status_404"), (3, 302, "status_302"), (4, 204, None),
    ]  # fmt: skip


async def test_messages_of_a_callback_keep_their_order_under_failures_over_hosts(database: str) -> None:
    """Check that a failed head blocks only its own callback, on each of its hosts."""
    async with receiving() as flaky, receiving("127.0.0.2") as other, worker(database):
        flaky.responses += [500, 500]
        held = [message((flaky if number % 2 == 0 else other).url, callback_id=1) for number in range(6)]
        free = [message(other.url, callback_id=2)]
        await enqueue_all(database, [*held, *free])

        async def free_is_delivered() -> bool:
            return deliveries(database)[free[0].id]["state"] == "delivered"

        await eventually_async(free_is_delivered)
        await eventually_async(attempted(database, held[0].id, 1))
        assert [received.id for received in other.got] == [free[0].id]

        async def all_are_delivered() -> bool:
            await bring_forward(database)
            return states(database) == {"delivered"}

        await eventually_async(all_are_delivered, timeout=30)
        got = sorted(flaky.got + other.got, key=lambda received: received.at)
        order = [received.id for received in got if received.callback_id == 1]
    assert list(dict.fromkeys(order)) == [one.id for one in held]
    assert order[2:] == [one.id for one in held]  # the head three times, then each once


async def test_thousands_of_callbacks_each_in_order_with_two_workers(database: str) -> None:
    async with receiving() as one, receiving("127.0.0.2") as two:
        async with worker(database), worker(database):
            sent = [
                message((one if (number + turn) % 2 else two).url, callback_id=number)
                for turn in range(3)
                for number in range(150)
            ]
            await enqueue_all(database, sent)
            await eventually_async(all_are(database, "delivered"), timeout=60)
        got = sorted(one.got + two.got, key=lambda received: received.at)
    for number in range(150):
        expected = [message_.id for message_ in sent if message_.callback_id == number]
        assert [received.id for received in got if received.callback_id == number] == expected


async def test_410_cancels_what_remains_for_that_url_of_the_callback(database: str) -> None:
    async def gone_for_one(received: Received) -> int:
        return 410 if received.callback_id == 1 and received.path == "/a" else 204

    async with receiving() as receiver:
        receiver.default = gone_for_one
        gone = [message(f"{receiver.url}/a") for _ in range(3)]
        others = [message(f"{receiver.url}/b"), message(f"{receiver.url}/a", callback_id=2)]
        await enqueue_all(database, gone + others)
        async with worker(database):
            await eventually_async(all_are(database, "failed", "cancelled", "delivered"))
    found = deliveries(database)
    assert [found[one.id]["state"] for one in gone] == ["failed", "cancelled", "cancelled"]
    assert [found[one.id]["state"] for one in others] == ["delivered", "delivered"]
    assert len(receiver.got) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_pauses_the_host_and_parked_time_uses_no_attempt(database: str, status: int) -> None:
    async with receiving() as busy, receiving("127.0.0.2") as other, worker(database):
        busy.responses += [web.Response(status=status, headers={"retry-after": "3600"})]
        first = message(busy.url)
        await enqueue_all(database, [first])
        await eventually_async(attempted(database, first.id, 1))
        parked, free = message(busy.url, callback_id=2), message(other.url, callback_id=3)
        await enqueue_all(database, [parked, free])

        async def free_is_delivered() -> bool:
            return deliveries(database)[free.id]["state"] == "delivered"

        await eventually_async(free_is_delivered)
        assert deliveries(database)[parked.id]["attempts"] == 0
        assert len(busy.got) == 1
        (lane,) = rows(
            database, "SELECT paused_until - now() AS pause FROM SCHEMA.webhook_lanes WHERE paused_until > now()"
        )
        assert timedelta(minutes=59) < lane["pause"] <= timedelta(hours=1)
        await bring_forward(database)
        await eventually_async(all_are(database, "delivered"))


async def test_the_breaker_opens_parks_the_host_and_closes_with_a_probe(database: str) -> None:
    async with receiving() as receiver, worker(database):
        receiver.default = 500
        sent = [message(receiver.url, callback_id=number) for number in range(60)]
        await enqueue_all(database, sent)

        async def is_open() -> bool:
            return bool(rows(database, "SELECT 1 FROM SCHEMA.webhook_lanes WHERE open_until > now()"))

        await eventually_async(is_open)
        before = len(receiver.got)
        assert breaker.FAILURES_MAX <= before <= breaker.FAILURES_MAX + UNPROVEN_IN_FLIGHT
        assert sum(row["attempts"] for row in deliveries(database).values()) == before
        receiver.default = 204
        await bring_forward(database)
        await eventually_async(all_are(database, "delivered"))
        (lane,) = rows(database, "SELECT opened, failures FROM SCHEMA.webhook_lanes")
        assert lane == {"opened": 0, "failures": 0}


async def test_a_black_hole_delays_no_other_host(database: str) -> None:
    async with (
        receiving() as hole,
        receiving("127.0.0.2") as healthy,
        worker(database, replace(OPTIONS, timeout=15.0)),
    ):
        hole.default = never
        await enqueue_all(database, [message(hole.url, callback_id=number) for number in range(500)])
        sent = [message(healthy.url, callback_id=1000 + number) for number in range(500)]
        await enqueue_all(database, sent)

        async def healthy_is_served() -> bool:
            return len(healthy.got) == 500

        await eventually_async(healthy_is_served)
        assert hole.max_in_flight == NEVER_ANSWERED_IN_FLIGHT


async def test_a_head_that_expires_releases_its_followers(database: str) -> None:
    async with receiving() as receiver, worker(database):
        receiver.responses += [500]
        head, follower = message(receiver.url, kind=WebhookKind.BEFORE), message(receiver.url)
        await enqueue_all(database, [head, follower])
        await eventually_async(attempted(database, head.id, 1))
        await change(database, "UPDATE SCHEMA.webhook_deliveries SET expires_at = now() WHERE kind = 'before'")
        await eventually_async(all_are(database, "expired", "delivered"))
    assert list(receiver.ids()) == [head.id, follower.id]
    assert deliveries(database)[head.id]["state"] == "expired"


async def test_what_expired_before_its_first_attempt_is_not_sent(database: str) -> None:
    async with receiving() as receiver, worker(database):
        old, new = message(receiver.url, kind=WebhookKind.BEFORE, age_s=180), message(receiver.url)
        await enqueue_all(database, [old, new])
        await eventually_async(all_are(database, "expired", "delivered"))
    assert list(receiver.ids()) == [new.id]


async def test_a_private_target_ends_in_one_constant_error(database: str) -> None:
    async with (
        receiving() as receiver,
        worker(database, replace(OPTIONS, targets=TargetPolicy(networks_of("127.0.0.2/32")))),
    ):
        await enqueue_all(database, [message(receiver.url), message("http://169.254.169.254/", callback_id=2)])
        await eventually_async(all_are(database, "failed"))
    assert receiver.got == []
    assert {row["error"] for row in deliveries(database).values()} == {"destination_not_allowed"}
    log = rows(database, "SELECT status, error, answer FROM SCHEMA.webhook_attempts")
    assert all(row == {"status": None, "error": "destination_not_allowed", "answer": b""} for row in log)


async def test_a_worker_that_is_killed_with_requests_in_flight_loses_nothing(database: str) -> None:
    async with receiving() as receiver:
        receiver.default = never
        sent = [message(receiver.url, callback_id=number) for number in range(20)]
        await enqueue_all(database, sent)
        await change(database, "UPDATE SCHEMA.webhook_lanes SET has_answered = true")
        with worker_process(database) as process:
            await eventually_async(received_at_least(receiver, 8), timeout=30)
            process.kill()
            await asyncio.to_thread(process.wait)
        await _killed_worker_is_disconnected(database)
        assert states(database) == {"pending"}
        receiver.default, before = 204, len(receiver.got)
        await _expire_leases(database)
        async with worker(database):
            await eventually_async(all_are(database, "delivered"))
    assert set(receiver.ids()[before:]) == {one.id for one in sent}


async def test_a_worker_that_is_killed_before_recording_sends_the_same_message_again(database: str) -> None:
    async with receiving() as receiver, await AsyncConnection.connect(database) as other:

        async def respond_while_the_lane_is_locked(_: Received) -> int:
            await other.execute("SELECT FROM perezvon_1.webhook_lanes FOR UPDATE")
            return 204

        receiver.responses += [respond_while_the_lane_is_locked]
        one = message(receiver.url)
        await enqueue_all(database, [one])
        with worker_process(database) as process:

            async def recording_waits() -> bool:
                return bool(rows(database, "SELECT 1 FROM pg_locks WHERE NOT granted"))

            await eventually_async(recording_waits, timeout=30)
            process.kill()
            await asyncio.to_thread(process.wait)
        await other.rollback()
        await _killed_worker_is_disconnected(database)
        assert states(database) == {"pending"}
        await _expire_leases(database)
        async with worker(database):
            await eventually_async(all_are(database, "delivered"))
    assert list(receiver.ids()) == [one.id, one.id]


async def test_a_worker_whose_lease_ran_out_records_nothing_for_the_lane(database: str) -> None:
    released = asyncio.Event()

    async def slow(_: Received) -> int:
        await released.wait()
        return 500

    async with receiving() as receiver, worker(database, replace(OPTIONS, timeout=20.0)):
        receiver.responses += [slow]
        one = message(receiver.url)
        await enqueue_all(database, [one])
        await eventually_async(received_at_least(receiver, 1))
        await _expire_leases(database)
        async with worker(database):
            await eventually_async(all_are(database, "delivered"))
            released.set()
            await enqueue_all(database, [message(receiver.url, callback_id=2)])
            await eventually_async(all_are(database, "delivered"))
    found = deliveries(database)[one.id]
    assert (found["state"], found["attempts"]) == ("delivered", 1)


async def test_a_stopping_worker_finishes_attempts_in_flight_and_releases_its_lanes(database: str) -> None:
    responding = asyncio.Event()

    async def slow(_: Received) -> int:
        await responding.wait()
        return 204

    async with receiving() as receiver:
        await enqueue_all(database, [message(receiver.url)])
        async with worker(database):
            await eventually_async(all_are(database, "delivered"))
            receiver.default = slow
            await enqueue_all(database, [message(receiver.url, callback_id=number) for number in range(3)])

            async def all_received() -> bool:
                return receiver.in_flight == 3

            await eventually_async(all_received)
            asyncio.get_running_loop().call_later(0.2, responding.set)
    assert states(database) == {"delivered"}
    assert rows(database, "SELECT 1 FROM SCHEMA.webhook_lanes WHERE lease_until > now()") == []


async def test_old_deliveries_and_their_attempts_are_deleted(database: str) -> None:
    async with receiving() as receiver:
        async with worker(database):
            await enqueue_all(database, [message(receiver.url, callback_id=number) for number in range(3)])
            await eventually_async(all_are(database, "delivered"))
        await change(
            database,
            "UPDATE SCHEMA.webhook_deliveries SET recorded_at = now() - interval '31 days' WHERE callback_id < 2",
        )
        async with worker(database):

            async def is_deleted() -> bool:
                return len(deliveries(database)) == 1

            await eventually_async(is_deleted)
    assert len(rows(database, "SELECT 1 FROM SCHEMA.webhook_attempts")) == 1


async def test_the_first_kilobyte_of_a_response_is_kept(database: str) -> None:
    async with receiving() as receiver, worker(database):
        receiver.responses += [web.Response(status=500, text="trouble " * 1000)]
        one = message(receiver.url)
        await enqueue_all(database, [one])
        await eventually_async(attempted(database, one.id, 1))
    (kept,) = rows(database, "SELECT answer FROM SCHEMA.webhook_attempts WHERE attempt = 1")
    assert kept["answer"] == ("trouble " * 1000).encode()[:1024]


async def _killed_worker_is_disconnected(dsn: str) -> None:
    """Wait until Postgres has ended the killed worker's connections: their last statements may still extend a lease."""

    async def ended() -> bool:
        connections = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'perezvon %'"
        )
        return not rows(dsn, connections)

    await eventually_async(ended)


async def _expire_leases(dsn: str) -> None:
    await change(dsn, "UPDATE SCHEMA.webhook_lanes SET lease_until = now() - interval '1 second'")
