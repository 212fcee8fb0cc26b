"""Whenever an event occurs for which a callback names a URL, a message to that URL is put into the outbox."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from application.policies.notify_webhooks import Handled, Ignored, message_of
from domain.model import Recorded
from infrastructure.policies.schedule_cache import ScheduleCache
from infrastructure.subscriptions.handler import POLICY_TUNING, fact_types, topics_of
from infrastructure.webhooks.outbox import enqueue


class NotifyWebhooks:
    """Puts messages into the outbox. A message that is there already is left unchanged."""

    name = "notify_webhooks"
    summary = "Whenever an event occurs for which a callback names a URL, a message to that URL is put into the outbox."
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = topics_of(handled, ('"url_',))
    tuning = POLICY_TUNING

    def __init__(self, schedules: ScheduleCache) -> None:
        """Read the URLs of a callback from ``schedules``."""
        self._schedules = schedules

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """See the protocol."""
        schedules = await self._schedules.load(connection, events)
        messages = [message for event in events if (message := message_of(event, schedules[event.stream]))]
        if messages:
            await enqueue(connection, messages)
