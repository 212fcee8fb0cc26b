"""One attempt: signed now, sent once, timed."""

from datetime import UTC, datetime
from uuid import UUID

from application.errors import SecretUnreadable, StorageUnavailable
from infrastructure.webhooks import metrics
from infrastructure.webhooks.delivery_schedule import ReceiverResponse
from infrastructure.webhooks.lane_leases import Delivery
from infrastructure.webhooks.results import AttemptResult
from infrastructure.webhooks.secrets import SigningKeys
from infrastructure.webhooks.sender import Sender
from infrastructure.webhooks.signatures import sign

_ANSWERED, _UNANSWERED = metrics.SECONDS.labels("yes"), metrics.SECONDS.labels("no")


class AttemptSender:
    """Makes attempts."""

    def __init__(self, sender: Sender, keys: SigningKeys) -> None:
        """Send with ``sender``, signed with ``keys``."""
        self._sender = sender
        self._keys = keys

    async def make(
        self, delivery: Delivery, *, fence: int | None = None, leased_to: UUID | None = None
    ) -> AttemptResult:
        """Answer what came of sending the delivery now. Never raises: what cannot be signed is tried again later."""
        at = datetime.now(UTC)
        if delivery.attempts == 0:
            metrics.FIRST_LAG.observe(max(0.0, (at - delivery.recorded_at).total_seconds()))
        try:
            keys = await self._keys.signing(delivery.organization_id)
        except (SecretUnreadable, StorageUnavailable):
            return AttemptResult(delivery, ReceiverResponse(seconds=0.0, error="not_signed"), at, fence, leased_to)
        timestamp = int(at.timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "perezvon-webhooks/1",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(keys, delivery.id, timestamp, delivery.body),
            "webhook-attempt": str(delivery.attempts + 1),
        }
        answer = await self._sender.post(delivery.url, headers, delivery.body)
        (_UNANSWERED if answer.status is None else _ANSWERED).observe(answer.seconds)
        return AttemptResult(delivery, answer, at, fence, leased_to)
