"""Attempts whose signing secret cannot be read."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from application.errors import SecretUnreadable
from application.policies.notify_webhooks import WebhookKind
from infrastructure.webhooks.attempt import AttemptSender
from infrastructure.webhooks.delivery_schedule import NOT_SIGNED
from infrastructure.webhooks.lane_leases import Delivery

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 27, tzinfo=UTC)
DELIVERY = Delivery(
    number=1,
    id="msg_1",
    lane_id=UUID(int=1),
    organization_id=7,
    kind=WebhookKind.AFTER,
    url="http://127.0.0.1/",
    body=b"{}",
    attempts=1,
    step=0,
    refusals=0,
    recorded_at=NOW,
    expires_at=NOW + timedelta(days=1),
)


class NoKeys:
    async def cached_keys(self, organization_id: int) -> list[bytes]:
        raise SecretUnreadable("PEREZVON_SECRETS_KEY is not set")


async def test_they_are_counted_and_their_cause_is_logged_once_a_minute() -> None:
    attempts = AttemptSender(cast("Any", None), cast("Any", NoKeys()))
    before = REGISTRY.get_sample_value("perezvon_webhook_unsigned_total") or 0
    with capture_logs() as lines:
        results = [await attempts.send(DELIVERY) for _ in range(3)]
    assert [result.response.error for result in results] == [NOT_SIGNED] * 3
    assert REGISTRY.get_sample_value("perezvon_webhook_unsigned_total") == before + 3
    assert [(line["event"], line["cause"]) for line in lines] == [
        ("webhook not signed", "PEREZVON_SECRETS_KEY is not set")
    ]
