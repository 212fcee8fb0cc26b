"""Whenever an attempt failed, then the callback is delayed, or finished."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from psycopg import AsyncConnection

from domain.callback.callback import replay
from domain.callback.events import AttemptFailed, CallbackCancelled, CallbackDelayed, CallbackFact
from domain.callback.retrying import RetryPolicy
from domain.model import Recorded, tag_of
from infrastructure.deciding import Decision, decide
from infrastructure.policies.schedules import Schedules
from infrastructure.policy import caused
from infrastructure.statements import statement

_DELETED = statement("SELECT queue_id FROM {schema}.queue_slots WHERE queue_id = ANY(%s) AND is_deleted")


def retry(events: Sequence[Recorded[CallbackFact]], *, queue_is_deleted: bool) -> list[CallbackFact]:
    """Decide about the callback's failed attempt, if its last one failed; in a deleted queue there is no other."""
    callback = replay(events)
    facts = callback.decide_retry(RetryPolicy()) if callback else []
    if queue_is_deleted and any(isinstance(fact, CallbackDelayed) for fact in facts):
        return [CallbackCancelled()]
    return facts


class RetryCallbacks:
    """Decides what follows a failed attempt."""

    name = "retry_callbacks"
    topics = frozenset({tag_of(AttemptFailed)})
    marks = ()

    def __init__(self, schedules: Schedules) -> None:
        """Learn from ``schedules`` which queue a callback is in."""
        self._schedules = schedules

    async def react(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """See the protocol."""
        schedules = await self._schedules.of(connection, events)
        deleted = await _deleted(connection, {scheduled.queue_id for scheduled in schedules.values()})
        decisions = [
            Decision(
                stream=event.stream,
                decide=partial(retry, queue_is_deleted=schedules[event.stream].queue_id in deleted),
                envelope=caused(self.name, event),
            )
            for event in events
        ]
        await decide(connection, decisions)


async def _deleted(connection: AsyncConnection, queue_ids: Iterable[int]) -> set[int]:
    cursor = await connection.execute(_DELETED, (list(queue_ids),), prepare=True)
    return {queue_id for (queue_id,) in await cursor.fetchall()}
