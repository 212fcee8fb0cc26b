"""Expiry that serves organisations fairly, and the deletion of idle lanes beside those who use them."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.webhooks import expiry as expiry_module
from infrastructure.webhooks import idle_lanes
from infrastructure.webhooks.expiry import Expiry
from infrastructure.webhooks.idle_lanes import IdleLanes
from infrastructure.webhooks.outbox import enqueue
from tests.support.waiting import eventually_async
from tests.support.webhooks import enqueue_all, message, rows, states

pytestmark = pytest.mark.anyio

OVERDUE = "UPDATE SCHEMA.webhook_deliveries SET expires_at = now() - interval '1 hour' * (CASE WHEN organization_id = 65 THEN 2 ELSE 1 END)"
ASLEEP = "UPDATE SCHEMA.webhook_lanes SET ready_at = 'infinity', released_at = now() - interval '32 days'"


@pytest.fixture
async def pool(database: str) -> AsyncGenerator[Pool]:
    opened = Pool(service_dsn(database), size=2, name="test")
    yield opened
    await opened.close()


def hosts(database: str) -> list[str]:
    return [row["host"] for row in rows(database, "SELECT host FROM SCHEMA.webhook_lanes ORDER BY host")]


async def many(database: str, organization_id: int, count: int, **fields: Any) -> None:
    url = f"http://h{organization_id}.example/"
    await enqueue_all(
        database, [message(url, organization_id=organization_id, callback_id=n, **fields) for n in range(count)]
    )


async def expired_of(database: str, organization_id: int) -> int:
    query = "SELECT count(*) AS n FROM SCHEMA.webhook_deliveries WHERE state = 'expired' AND organization_id = "
    return rows(database, f"{query}{organization_id}")[0]["n"]


async def test_organisations_expire_in_turn_however_much_another_has(database: str, pool: Pool) -> None:
    await many(database, 65, 1500)
    for organization_id in (129, 193):
        await many(database, organization_id, 3)
    rows(database, OVERDUE)
    expiry = Expiry()
    await expiry.expire_deliveries(pool)
    assert [await expired_of(database, one) for one in (65, 129, 193)] == [166, 3, 3]
    for _ in range(2):
        await expiry.expire_deliveries(pool)
    assert await expired_of(database, 65) == 1166  # alone it has the whole batch


async def test_each_run_examines_the_next_organisations(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_module, "_ORGANIZATIONS_MAX", 2)
    for organization_id in (65, 129, 193):
        await many(database, organization_id, 2)
    rows(database, OVERDUE)
    rows(database, "UPDATE SCHEMA.webhook_lanes SET lease_until = now() + interval '1 hour' WHERE host = 'h65.example'")
    expiry = Expiry()
    await expiry.expire_deliveries(pool)
    assert [await expired_of(database, one) for one in (65, 129, 193)] == [0, 2, 0]
    await expiry.expire_deliveries(pool)
    assert [await expired_of(database, one) for one in (65, 129, 193)] == [0, 2, 2]


async def test_lanes_that_are_idle_for_long_are_deleted_and_the_others_are_kept(database: str, pool: Pool) -> None:
    for name in ("idle", "fresh", "open", "paused", "leased", "ready"):
        await enqueue_all(database, [message(f"http://{name}.example/")])
    rows(database, "DELETE FROM SCHEMA.webhook_deliveries")
    rows(database, ASLEEP)
    for name, kept in {
        "fresh": "released_at = now() - interval '30 days'",
        "open": "open_until = now() + interval '1 minute'",
        "paused": "paused_until = now() + interval '1 minute'",
        "leased": "lease_until = now() + interval '1 minute'",
        "ready": "ready_at = now() + interval '1 minute'",
    }.items():
        rows(database, f"UPDATE SCHEMA.webhook_lanes SET {kept} WHERE host = '{name}.example'")
    await IdleLanes().delete_idle_lanes(pool)
    assert hosts(database) == [f"{name}.example" for name in ("fresh", "leased", "open", "paused", "ready")]


async def test_a_lane_that_a_transaction_in_progress_uses_is_kept(database: str, pool: Pool) -> None:
    await enqueue_all(database, [message("http://idle.example/")])
    rows(database, ASLEEP)
    lanes = IdleLanes()
    async with await AsyncConnection.connect(service_dsn(database)) as connection:
        await enqueue(connection, [message("http://idle.example/", callback_id=2)])
        with pytest.raises(StorageUnavailable, match="lock timeout"):
            await lanes.delete_idle_lanes(pool)
    await lanes.delete_idle_lanes(pool)
    assert hosts(database) == ["idle.example"]


async def test_a_delivery_that_waits_for_the_deletion_of_its_lane_creates_it_again(database: str, pool: Pool) -> None:
    await enqueue_all(database, [message("http://idle.example/")])
    rows(database, "DELETE FROM SCHEMA.webhook_deliveries")
    rows(database, ASLEEP)
    (lane,) = rows(database, "SELECT id FROM SCHEMA.webhook_lanes")
    async with pool.connection() as deleting, deleting.transaction():
        await deleting.execute(idle_lanes._LOCK_LANES)
        await deleting.execute(idle_lanes._DELETE_LANES, ([lane["id"]], idle_lanes._IDLE_FOR))
        enqueuing = asyncio.create_task(enqueue_all(database, [message("http://idle.example/")]))

        async def waits() -> bool:
            return bool(
                rows(
                    database, "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'SCHEMA.webhook_lanes'::regclass"
                )
            )

        await eventually_async(waits)
    await enqueuing
    assert hosts(database) == ["idle.example"]
    assert states(database) == {"pending"}
