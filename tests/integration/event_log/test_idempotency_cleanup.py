"""Expired idempotency keys are deleted."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from infrastructure.event_log import idempotency_cleanup
from infrastructure.event_log.idempotency_cleanup import delete_expired_idempotency_keys
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


async def test_keys_are_deleted_after_a_day(views: Views) -> None:
    await views.do(
        "INSERT INTO perezvon_1.stored_events_claims (digest, fingerprint, stream, version, status, claimed_at)"
        " SELECT sha256(n::text::bytea), '', 'task/a', 1, 200, now() - n * interval '1 minute' FROM generate_series(1, 3000) AS n"
    )
    assert await delete_expired_idempotency_keys(views.pool) == 3000 - 1439
    ((oldest, left),) = await views.rows(
        "SELECT now() - min(claimed_at), count(*) FROM perezvon_1.stored_events_claims"
    )
    assert left == 1439
    assert oldest < timedelta(hours=24)


async def test_a_backlog_of_keys_is_deleted_over_several_runs(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency_cleanup, "_BATCH_ROWS", 10)
    monkeypatch.setattr(idempotency_cleanup, "_BATCHES_MAX", 3)
    await views.do(
        "INSERT INTO perezvon_1.stored_events_claims (digest, fingerprint, stream, version, status, claimed_at)"
        " SELECT sha256(n::text::bytea), '', 'task/a', 1, 200, now() - interval '2 days' FROM generate_series(1, 45) AS n"
    )
    assert [await delete_expired_idempotency_keys(views.pool) for _ in range(3)] == [30, 15, 0]
