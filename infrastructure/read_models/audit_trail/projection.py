"""Projection audit_trail: one row for each event of the log."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from application.cooperative import in_parts
from domain.model import Fact, Recorded, tag_of
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.handler import VIEW_TUNING, fact_types
from infrastructure.subscriptions.projection import Table

# Events that were copied before: there are none, except after a retry of parked streams.
_COPIED = "SELECT position FROM {schema}.audit_trail{suffix} WHERE position BETWEEN %s AND %s"
_COLUMNS = {
    "position": "int8",
    "stream": "text",
    "version": "int8",
    "type": "text",
    "recorded_at": "timestamptz",
    "organization_id": "int8",
    "actor": "text",
    "reason": "text",
    "causation": "text",
    "correlation": "text",
}
_COPY = f"COPY {{schema}}.audit_trail{{suffix}} ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT binary)"


class AuditTrailProjection:
    """Copies the envelopes of all events."""

    name = "audit_trail"
    summary = "Who did what, when and why?"
    handled = fact_types(Fact)
    ignored = fact_types(())
    subscription = ""  # all streams
    tuning = VIEW_TUNING
    tables = (Table("audit_trail", key=("position",)),)

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str = "") -> None:
        """See the protocol."""
        span = (events[0].position, events[-1].position)
        cursor = await connection.execute(statement(_COPIED, suffix), span, prepare=False)
        copied = {position for (position,) in await cursor.fetchall()}
        async with connection.cursor().copy(statement(_COPY, suffix)) as copy:
            copy.set_types(list(_COLUMNS.values()))
            async for part in in_parts(events):
                for event in part:
                    if event.position not in copied:
                        await copy.write_row(_row(event))


def _row(event: Recorded[Any]) -> tuple[Any, ...]:
    return (
        event.position,
        event.stream,
        event.version,
        tag_of(event.fact),
        event.recorded_at,
        event.organization_id,
        event.actor,
        event.reason,
        event.causation,
        event.correlation,
    )
