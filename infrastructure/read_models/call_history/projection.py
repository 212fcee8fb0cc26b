"""Whose attempt is a call?"""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from domain.callback.events import AttemptStarted
from domain.model import Recorded, tag_of
from infrastructure.event_log.reader import Topics
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.projection import Table

# Calls that stand there already are those of facts that are folded again.
_INSERT = (
    "INSERT INTO {schema}.call_history{suffix} (call_id, organization_id, callback_id, attempt)"
    " SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::int[]) ON CONFLICT DO NOTHING"
)


class CallHistoryProjection:
    """Notes each call that is started. What became of it stays where it is: in the callback's stream."""

    name = "call_history"
    wanted = Topics(frozenset({tag_of(AttemptStarted)}))
    tables = (Table("call_history", key=("call_id",)),)

    async def apply(self, connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str) -> None:
        """See the protocol."""
        values = (
            [event.fact.call_id for event in events],
            [event.organization_id for event in events],
            [int(event.stream.removeprefix("callback/")) for event in events],
            [event.fact.attempt for event in events],
        )
        await connection.execute(statement(_INSERT, suffix), values)
