"""Old deliveries are deleted in small transactions."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.postgres.service_connection import ServiceConnection
from infrastructure.webhooks import retention
from tests.support.webhooks import change, deliveries, enqueue_all, message

pytestmark = pytest.mark.anyio


async def test_old_deliveries_are_deleted_in_batches_each_with_a_deadline_of_its_own(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH_ROWS", 2)
    monkeypatch.setattr(retention, "_BATCHES_MAX", 2)
    await enqueue_all(database, [message("http://example.com/", callback_id=number) for number in range(7)])
    await change(
        database, "UPDATE SCHEMA.webhook_deliveries SET state = 'expired', recorded_at = now() - interval '31 days'"
    )
    pool = Counting(service_dsn(database), size=1, name="test")
    for left, connections in ((3, 2), (0, 4), (0, 5)):
        await retention.delete_old_deliveries(pool)
        assert (len(deliveries(database)), pool.used) == (left, connections)
    await pool.close()


async def test_pending_deliveries_of_one_organisation_do_not_keep_those_of_the_others(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH_ROWS", 2)
    await enqueue_all(database, [message("http://example.com/", callback_id=number) for number in range(9)])
    await change(database, "UPDATE SCHEMA.webhook_deliveries SET recorded_at = now() - interval '31 days'")
    await change(database, "UPDATE SCHEMA.webhook_deliveries SET state = 'expired' WHERE callback_id > 4")
    await change(database, "UPDATE SCHEMA.webhook_deliveries SET recorded_at = now() WHERE callback_id = 8")
    pool = Pool(service_dsn(database), size=1, name="test")
    try:
        await retention.delete_old_deliveries(pool)
    finally:
        await pool.close()
    assert {one["callback_id"] for one in deliveries(database).values()} == {0, 1, 2, 3, 4, 8}


class Counting(Pool):
    """A pool that counts how often a connection was used."""

    used = 0

    @asynccontextmanager
    async def connection(self, within_s: float | None = None) -> AsyncGenerator[ServiceConnection]:
        """Count the use, and yield a connection."""
        self.used += 1
        async with super().connection(within_s) as connection:
            yield connection
