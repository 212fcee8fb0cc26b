"""Whenever something happened that a callback's URL is to be told of, then a delivery to it waits."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from domain.model import Recorded
from infrastructure.policies.schedule_cache import Schedules
from infrastructure.subscriptions.handler import POLICY_TUNING, fact_types, topics_of
from infrastructure.webhooks.outbox import Handled, Ignored, enqueue, message_of


class NotifyWebhooks:
    """Puts messages into the outbox. A message that is there already stays as it is."""

    name = "notify_webhooks"
    summary = "Whenever something happened that a callback's URL is to be told of, then a delivery to it waits."
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = topics_of(handled, ('"url_',))
    tuning = POLICY_TUNING

    def __init__(self, schedules: Schedules) -> None:
        """Learn from ``schedules`` which URLs a callback has."""
        self._schedules = schedules

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """See the protocol."""
        schedules = await self._schedules.of(connection, events)
        messages = [message for event in events if (message := message_of(event, schedules[event.stream]))]
        if messages:
            await enqueue(connection, messages)
