"""Whenever something happened that a callback's URL is to be told of, then a delivery to it waits."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from domain.callback.events import AttemptStarted, AttemptSucceeded, CallbackCancelled, CallbackFinished
from domain.model import Recorded, tag_of
from infrastructure.policies.schedule_cache import Schedules
from infrastructure.webhooks.outbox import message_of, put


class NotifyWebhooks:
    """Puts messages into the outbox. A message that is there already stays as it is."""

    name = "notify_webhooks"
    topics = frozenset(map(tag_of, (AttemptStarted, AttemptSucceeded, CallbackFinished, CallbackCancelled)))
    marks = ('"url_',)

    def __init__(self, schedules: Schedules) -> None:
        """Learn from ``schedules`` which URLs a callback has."""
        self._schedules = schedules

    async def react(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """See the protocol."""
        schedules = await self._schedules.of(connection, events)
        messages = [message for event in events if (message := message_of(event, schedules[event.stream]))]
        if messages:
            await put(connection, messages)
