"""One attempt to deliver a message: signed now, sent once, timed."""

from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

import structlog

from application.errors import SecretUnreadable, StorageUnavailable
from infrastructure.webhooks import metrics
from infrastructure.webhooks.delivery_schedule import NOT_SIGNED, ReceiverResponse
from infrastructure.webhooks.lane_leases import Delivery
from infrastructure.webhooks.results import AttemptResult
from infrastructure.webhooks.secrets import SigningKeys
from infrastructure.webhooks.sender import Sender
from infrastructure.webhooks.signatures import sign

_REPORT_EVERY_S = 60.0
_logger = structlog.get_logger(__name__)
_ANSWERED, _UNANSWERED = metrics.SECONDS.labels("yes"), metrics.SECONDS.labels("no")


class AttemptSender:
    """Signs and sends deliveries."""

    def __init__(self, sender: Sender, keys: SigningKeys) -> None:
        """Send with ``sender``, signed with ``keys``."""
        self._sender = sender
        self._keys = keys
        self._reported_at = -_REPORT_EVERY_S

    async def send(
        self, delivery: Delivery, *, fence: int | None = None, leased_to: UUID | None = None
    ) -> AttemptResult:
        """Send the delivery now and return the result. Never raises: what cannot be signed is retried later."""
        at = datetime.now(UTC)
        if delivery.attempts == 0:
            metrics.FIRST_LAG.observe(max(0.0, (at - delivery.recorded_at).total_seconds()))
        try:
            keys = await self._keys.cached_keys(delivery.organization_id)
        except (SecretUnreadable, StorageUnavailable) as error:
            self._report_unsigned(delivery.organization_id, error)
            return AttemptResult(delivery, ReceiverResponse(seconds=0.0, error=NOT_SIGNED), at, fence, leased_to)
        timestamp = int(at.timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "perezvon-webhooks/1",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(keys, delivery.id, timestamp, delivery.body),
            "webhook-attempt": str(delivery.attempts + 1),
        }
        response = await self._sender.post(delivery.organization_id, delivery.url, headers, delivery.body)
        (_UNANSWERED if response.status is None else _ANSWERED).observe(response.seconds)
        return AttemptResult(delivery, response, at, fence, leased_to)

    def _report_unsigned(self, organization_id: int, error: Exception) -> None:
        """Count the attempt; log the cause once a minute at most, because it is usually the same for all deliveries."""
        metrics.UNSIGNED.inc()
        if (now := monotonic()) - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = now
            _logger.error("webhook not signed", organization_id=organization_id, cause=str(error))
