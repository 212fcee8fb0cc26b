"""Projection call_history: attempts by the ids of their calls."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    CallEnded,
)
from domain.model import Recorded
from domain.streams import aggregate_number
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.handler import VIEW_TUNING, fact_types, topics_of
from infrastructure.subscriptions.projection import Table

# A call that is there already belongs to a fact that is folded again.
_INSERT = """
    INSERT INTO {schema}.call_history{suffix} (call_id, organization_id, callback_id, attempt)
    SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::int[])
    ON CONFLICT DO NOTHING
"""

Handled = AttemptStarted
Ignored = (
    CallbackScheduled
    | AttemptSucceeded
    | AttemptFailed
    | CallEnded
    | CallbackDelayed
    | CallbackFinished
    | CallbackCancelled
    | CallbackRemoved
)


class CallHistoryProjection:
    """Indexes each call that is started. Its outcome stays in the callback's stream."""

    name = "call_history"
    summary = "To which attempt does a call belong?"
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = topics_of(handled)
    tuning = VIEW_TUNING
    tables = (Table("call_history", key=("call_id",)),)

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str = "") -> None:
        """See the protocol."""
        values = (
            [event.fact.call_id for event in events],
            [event.organization_id for event in events],
            [aggregate_number(event.stream) for event in events],
            [event.fact.attempt for event in events],
        )
        await connection.execute(statement(_INSERT, suffix), values)
