"""Lanes beside a hostile neighbour: organisations have shares, and a lane is ready as soon as something in it is due."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection

from application.policies.notify_webhooks import Message, WebhookKind
from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.webhooks import delivery_loop
from infrastructure.webhooks.deliveries_query import PostgresWebhookDeliveries
from infrastructure.webhooks.delivery_loop import IN_FLIGHT_MAX
from infrastructure.webhooks.lane_leases import (
    _FIND_READY,
    LaneClass,
    LaneLease,
    find_ready_lanes,
    lease_lanes,
    release_lanes,
)
from infrastructure.webhooks.lane_places import LANES_MAX, NEVER_ANSWERED_MAX
from infrastructure.webhooks.outbox import enqueue
from tests.support.receiving import Received, Receiver, receiving
from tests.support.waiting import eventually_async
from tests.support.webhooks import OPTIONS, change, deliveries, enqueue_all, late_lanes, message, rows, states, worker

pytestmark = pytest.mark.anyio

HOSTILE, HEALTHY = 65, 129
PATIENT = replace(OPTIONS, timeout=30.0)


async def at_home(_host: str) -> Sequence[str]:
    """Find every name on this machine."""
    return ["127.0.0.1"]


@asynccontextmanager
async def silence(receiver: Receiver) -> AsyncGenerator[None]:
    """Keep the receiver silent until the context ends."""
    ended = asyncio.Event()

    async def silent(_: Received) -> int:
        await ended.wait()
        return 204

    receiver.default = silent
    try:
        yield
    finally:
        ended.set()


def to_silent_hosts(receiver: Receiver, hosts: int, each: int = 1) -> list[Message]:
    port = receiver.url.rpartition(":")[2]
    return [
        message(f"http://silent-{number}.example:{port}/", callback_id=number * each + one, organization_id=HOSTILE)
        for number in range(hosts)
        for one in range(each)
    ]


def has_in_flight(receiver: Receiver, count: int) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return receiver.in_flight == count

    return found


def is_delivered(dsn: str, one: Message) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return deliveries(dsn)[one.id]["state"] == "delivered"

    return found


@pytest.mark.parametrize(
    ("have_answered", "each", "in_flight"),
    [(False, 1, NEVER_ANSWERED_MAX // 2), (True, 1, LANES_MAX // 2), (True, 4, IN_FLIGHT_MAX // 2)],
)
async def test_silent_hosts_of_one_organisation_hold_a_share_and_another_is_served_at_once(
    database: str, in_flight: int, each: int, *, have_answered: bool
) -> None:
    async with receiving() as hole, receiving("127.0.0.2") as healthy:
        await enqueue_all(database, to_silent_hosts(hole, 2 * LANES_MAX, each))
        await change(database, f"UPDATE SCHEMA.webhook_lanes SET has_answered = {have_answered}")
        async with worker(database, PATIENT, at_home), silence(hole):
            await eventually_async(has_in_flight(hole, in_flight), timeout=30)
            mine = message(healthy.url, callback_id=100_000, organization_id=HEALTHY)
            await enqueue_all(database, [mine])
            await eventually_async(is_delivered(database, mine))
            assert hole.in_flight == hole.max_in_flight == in_flight
    assert late_lanes(database) == []


async def test_hosts_that_never_answered_do_not_delay_the_other_hosts_of_their_organisation(database: str) -> None:
    async with receiving() as hole, receiving("127.0.0.2") as healthy:
        known = message(healthy.url, callback_id=100_000, organization_id=HOSTILE)
        async with worker(database, PATIENT, at_home), silence(hole):
            await enqueue_all(database, [known])
            await eventually_async(is_delivered(database, known))
            await enqueue_all(database, to_silent_hosts(hole, 2 * NEVER_ANSWERED_MAX))
            await eventually_async(has_in_flight(hole, NEVER_ANSWERED_MAX // 2))
            another = message(healthy.url, callback_id=100_001, organization_id=HOSTILE)
            await enqueue_all(database, [another])
            await eventually_async(is_delivered(database, another))
            assert hole.in_flight == NEVER_ANSWERED_MAX // 2


async def test_a_host_is_one_lane_on_every_port_and_in_every_spelling(database: str) -> None:
    urls = [
        "http://a.example/",
        "https://A.EXAMPLE./x",
        *(f"http://a.example:{port}/" for port in range(1024, 1124)),
    ]
    await enqueue_all(database, [message(url, callback_id=number) for number, url in enumerate(urls)])
    assert [row["host"] for row in rows(database, "SELECT host FROM SCHEMA.webhook_lanes")] == ["a.example"]


async def test_a_dead_host_is_leased_once_for_each_of_its_attempts(database: str) -> None:
    async with receiving() as receiver, worker(database):
        receiver.default = 500
        one = message(receiver.url, kind=WebhookKind.BEFORE)
        await enqueue_all(database, [one, message(receiver.url)])

        async def attempted_twice() -> bool:
            return deliveries(database)[one.id]["attempts"] == 2

        await eventually_async(attempted_twice)
        (lane,) = rows(database, "SELECT fence FROM SCHEMA.webhook_lanes")
        assert lane["fence"] <= 3
    assert late_lanes(database) == []


async def test_lanes_that_find_no_place_for_their_deliveries_are_kept_and_take_turns(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_loop, "HELD_MAX", 16)
    async with receiving() as receiver:
        await enqueue_all(database, to_silent_hosts(receiver, hosts=3, each=20))

        async def are_delivered() -> bool:
            return states(database) == {"delivered"}

        async with worker(database, lookup=at_home):
            await eventually_async(are_delivered)
    assert [row["fence"] for row in rows(database, "SELECT fence FROM SCHEMA.webhook_lanes")] == [1, 1, 1]


async def test_the_next_message_of_a_callback_follows_to_another_host_by_itself(database: str) -> None:
    async with receiving() as flaky, receiving("127.0.0.2") as other, worker(database):
        flaky.responses += [500]
        head, follower = message(flaky.url, kind=WebhookKind.BEFORE), message(other.url)
        await enqueue_all(database, [head, follower])

        async def are_delivered() -> bool:
            return states(database) == {"delivered"}

        await eventually_async(are_delivered, timeout=30)


async def test_a_message_that_is_sent_again_makes_its_lane_ready(database: str) -> None:
    async with receiving() as receiver, worker(database):
        one = message(receiver.url)
        await enqueue_all(database, [one])
        await eventually_async(is_delivered(database, one))

        async def is_idle() -> bool:
            return bool(rows(database, "SELECT 1 FROM SCHEMA.webhook_lanes WHERE ready_at = 'infinity'"))

        await eventually_async(is_idle)
        pool = Pool(service_dsn(database), size=1, name="test")
        shared = SharedPool(pool, size=1, resource="test")
        await PostgresWebhookDeliveries(shared).resend(one.organization_id, one.id)
        await pool.close()

        async def is_sent_again() -> bool:
            return len(receiver.got) == 2

        await eventually_async(is_sent_again)


async def ready(connection: AsyncConnection) -> dict[LaneClass, int]:
    return await find_ready_lanes(connection)


async def lease_all(connection: AsyncConnection) -> list[LaneLease]:
    return await lease_lanes(connection, await ready(connection), seconds=30.0)


async def test_a_lane_is_not_released_while_a_transaction_makes_something_due_in_it(database: str) -> None:
    """Check that a message is not forgotten whose transaction began before the release and commits after it."""
    async with (
        await AsyncConnection.connect(service_dsn(database), autocommit=True) as worker_,
        await AsyncConnection.connect(service_dsn(database)) as policy,
    ):
        await enqueue_all(database, [message("http://a.example/", callback_id=1)])
        (lease,) = await lease_all(worker_)
        await asyncio.to_thread(rows, database, "UPDATE SCHEMA.webhook_deliveries SET state = 'delivered'")
        await enqueue(policy, [message("http://a.example/", callback_id=2)])
        assert await release_lanes(worker_, {lease.id: lease.fence}) == {lease.id}
        await policy.commit()
        assert await release_lanes(worker_, {lease.id: lease.fence}) == set()
        assert [one.id for one in await lease_all(worker_)] == [lease.id]
        assert await release_lanes(worker_, {lease.id: lease.fence}) == set()  # lost to a higher fence: nothing to do
    assert late_lanes(database) == []


async def test_two_transactions_that_make_the_same_idle_lanes_due_do_not_wait_for_each_other_in_a_circle(
    database: str,
) -> None:
    hosts = [f"http://host-{number}.example/" for number in range(20)]
    await enqueue_all(database, [message(host, callback_id=number) for number, host in enumerate(hosts)])
    await change(
        database,
        "UPDATE SCHEMA.webhook_deliveries SET state = 'delivered'",
    )
    await asyncio.to_thread(rows, database, "UPDATE SCHEMA.webhook_lanes SET ready_at = 'infinity'")
    forth = [message(host, callback_id=100 + number) for number, host in enumerate(hosts)]
    back = [message(host, callback_id=200 + number) for number, host in enumerate(reversed(hosts))]
    await asyncio.gather(*(enqueue_all(database, some) for some in (forth, back, forth[::-1], back[::-1])))
    assert late_lanes(database) == []
    assert rows(database, "SELECT 1 FROM SCHEMA.webhook_lanes WHERE ready_at = 'infinity'") == []


class Lanes:
    """The table of lanes, and what finding the ready ones costs in it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._count = 0

    async def add(self, organizations: str, ready_at: str, count: int) -> None:
        first, self._count = self._count, self._count + count
        await asyncio.to_thread(
            rows,
            self._dsn,
            "INSERT INTO SCHEMA.webhook_lanes (id, organization_id, host, ready_at) SELECT gen_random_uuid(),"
            f" {organizations}, 'host-' || n, {ready_at} FROM generate_series({first}, {first + count - 1}) AS n",
        )

    async def pages(self) -> int:
        """Return the number of pages read to find the ready lanes."""
        async with await AsyncConnection.connect(self._dsn, autocommit=True) as connection:
            await connection.execute("VACUUM (ANALYZE) perezvon_1.webhook_lanes")
            assert (await ready(connection))[LaneClass(HEALTHY, has_answered=False)] == 1
            statement = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + _FIND_READY
            plan: Any = await (await connection.execute(statement)).fetchone()
        return plan[0][0]["Plan"]["Shared Hit Blocks"] + plan[0][0]["Plan"]["Shared Read Blocks"]


@pytest.mark.parametrize(
    ("organizations", "ready_at"),
    [
        (str(HOSTILE), "now()"),
        (str(HOSTILE), "now() + interval '1 hour'"),
        (str(HOSTILE), "'infinity'"),
        ("1000 + n", "now() + interval '1 hour'"),
    ],
)
async def test_finding_lanes_costs_the_same_beside_any_number_of_lanes_of_others(
    database: str, organizations: str, ready_at: str
) -> None:
    lanes = Lanes(database)
    await lanes.add(organizations, ready_at, 2000)
    await lanes.add(str(HEALTHY), "now()", 1)
    few = await lanes.pages()
    await lanes.add(organizations, ready_at, 18_000)
    assert await lanes.pages() <= few + 30
