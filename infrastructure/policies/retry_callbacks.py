"""Whenever an attempt failed, then the callback is delayed, or finished."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace
from psycopg import AsyncConnection

from application.policies.decision import Decision, Facts
from domain.callback.callback import replay
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFact,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    CallEnded,
)
from domain.callback.retry_policy import RetryPolicy
from domain.model import Recorded
from infrastructure.event_log.decisions import decide_and_append, read_streams
from infrastructure.policies.schedule_cache import Schedules
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.handler import POLICY_TUNING, caused, fact_types, topics_of

_QUEUES = statement(
    "SELECT q.queue_id, q.is_deleted, coalesce(q.retry_policy, o.settings -> 'retry_policy')::text"
    " FROM {schema}.queue_slots AS q LEFT JOIN {schema}.organizations AS o ON o.id = q.organization_id"
    " WHERE q.queue_id = ANY(%s)"
)
_POLICY = msgspec.json.Decoder(RetryPolicy | None)

Handled = AttemptFailed
Ignored = (
    CallbackScheduled
    | AttemptStarted
    | AttemptSucceeded
    | CallEnded
    | CallbackDelayed
    | CallbackFinished
    | CallbackCancelled
    | CallbackRemoved
)


class QueueInForce(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force in a queue: the policy that it chose, else its organisation's default, else the contract's rule."""

    policy: RetryPolicy = RetryPolicy()
    is_deleted: bool = False


def retry(events: Sequence[Recorded[CallbackFact]], queue: QueueInForce) -> list[CallbackFact]:
    """Decide about the callback's failed attempt, if its last one failed; in a deleted queue there is no other."""
    callback = replay(events)
    facts = callback.decide_retry(queue.policy) if callback else []
    if queue.is_deleted and any(isinstance(fact, CallbackDelayed) for fact in facts):
        return [CallbackCancelled()]
    return facts


class RetryCallbacks:
    """Decides what follows a failed attempt."""

    name = "retry_callbacks"
    summary = "Whenever an attempt failed, then the callback is delayed, or finished."
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = topics_of(handled)
    tuning = POLICY_TUNING

    def __init__(self, schedules: Schedules) -> None:
        """Learn from ``schedules`` which queue a callback is in."""
        self._schedules = schedules

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """See the protocol."""
        schedules = await self._schedules.of(connection, events)
        queues = await _queues(connection, {scheduled.queue_id for scheduled in schedules.values()})
        streams = await read_streams(connection, schedules)
        decisions = [
            _decision(event, streams[event.stream], queues.get(schedules[event.stream].queue_id, QueueInForce()))
            for event in events
        ]
        await decide_and_append(connection, decisions)


def _decision(event: Recorded[Any], known: Facts, queue: QueueInForce) -> Decision:
    envelope = caused(RetryCallbacks.name, event)
    if queue.is_deleted and CallbackCancelled() in retry(known, queue):
        envelope = replace(envelope, reason="the queue was deleted")
    return Decision(stream=event.stream, decide=partial(retry, queue=queue), envelope=envelope, known=known)


async def _queues(connection: AsyncConnection, queue_ids: Iterable[int]) -> dict[int, QueueInForce]:
    """Answer, by id, what is in force in each queue. Raises ValidationError for a policy that cannot be read."""
    cursor = await connection.execute(_QUEUES, (list(queue_ids),), prepare=True)
    return {
        queue_id: QueueInForce(policy=(text and _POLICY.decode(text)) or RetryPolicy(), is_deleted=is_deleted)
        for queue_id, is_deleted, text in await cursor.fetchall()
    }
