"""Whenever an attempt failed, the callback is delayed or finished."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace
from psycopg import AsyncConnection

from application.policies.decision import Decision, Facts
from application.policies.retry_callbacks import Handled, Ignored, QueueRetrySettings, retry_or_finish
from domain.callback.events import CallbackCancelled
from domain.callback.retry_policy import RetryPolicy
from domain.model import Recorded
from infrastructure.event_log.decisions import decide_and_append, read_streams
from infrastructure.policies.schedule_cache import ScheduleCache
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.handler import POLICY_TUNING, envelope_for, fact_types, topics_of

_QUEUES = statement("""
    SELECT q.queue_id, q.is_deleted, coalesce(q.retry_policy, o.settings -> 'retry_policy')::text
    FROM unnest(%s::bigint[]) AS g (queue_id),
        LATERAL (
        SELECT * FROM {schema}.queue_slots WHERE queue_id = g.queue_id ORDER BY revision DESC LIMIT 1
    ) AS q
    LEFT JOIN {schema}.organizations AS o ON o.id = q.organization_id
""")
_POLICY = msgspec.json.Decoder(RetryPolicy | None)


class RetryCallbacks:
    """Decides what follows a failed attempt."""

    name = "retry_callbacks"
    summary = "Whenever an attempt failed, the callback is delayed or finished."
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = topics_of(handled)
    tuning = POLICY_TUNING

    def __init__(self, schedules: ScheduleCache) -> None:
        """Read the queue of a callback from ``schedules``."""
        self._schedules = schedules

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """See the protocol."""
        schedules = await self._schedules.load(connection, events)
        queues = await _queues(connection, {scheduled.queue_id for scheduled in schedules.values()})
        streams = await read_streams(connection, schedules)
        decisions = [
            _decision(event, streams[event.stream], queues.get(schedules[event.stream].queue_id, QueueRetrySettings()))
            for event in events
        ]
        await decide_and_append(connection, decisions)


def _decision(event: Recorded[Any], known: Facts, queue: QueueRetrySettings) -> Decision:
    envelope = envelope_for(RetryCallbacks.name, event)
    if queue.is_deleted and CallbackCancelled() in retry_or_finish(known, queue):
        envelope = replace(envelope, reason="the queue was deleted")
    return Decision(stream=event.stream, decide=partial(retry_or_finish, queue=queue), envelope=envelope, known=known)


async def _queues(connection: AsyncConnection, queue_ids: Iterable[int]) -> dict[int, QueueRetrySettings]:
    """Return the retry settings of each queue, by its id. Raises ValidationError for an unreadable policy."""
    cursor = await connection.execute(_QUEUES, (list(queue_ids),), prepare=True)
    return {
        queue_id: QueueRetrySettings(policy=(text and _POLICY.decode(text)) or RetryPolicy(), is_deleted=is_deleted)
        for queue_id, is_deleted, text in await cursor.fetchall()
    }
