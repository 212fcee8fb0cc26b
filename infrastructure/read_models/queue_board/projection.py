"""Projection queue_board: callback queues of an organisation."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection

from domain.callback_queue.callback_queue import CallbackQueue, evolve
from domain.callback_queue.events import (
    QueueCreated,
    QueueDeleted,
    QueueDescribed,
    QueueLimitChanged,
    QueueRulesChosen,
    QueueSwitchedOff,
    QueueSwitchedOn,
)
from domain.model import Recorded
from domain.streams import QUEUE_PREFIX, aggregate_number
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.handler import VIEW_TUNING, fact_types
from infrastructure.subscriptions.projection import Table, VersionGap

# Without the rules: no list shows them.
_COLUMNS = tuple(name for name in CallbackQueue.__struct_fields__ if name != "rules")
_FOLDED = f"""
    SELECT {", ".join(_COLUMNS)}
    FROM {{schema}}.queue_board{{suffix}}
    WHERE id = ANY(ARRAY(SELECT json_array_elements_text(%s::json)::bigint))
"""
_UPSERT = f"""
    INSERT INTO {{schema}}.queue_board{{suffix}} ({", ".join(_COLUMNS)})
    SELECT {", ".join(_COLUMNS)}
    FROM json_populate_recordset(NULL::{{schema}}.queue_board{{suffix}}, %s::json)
    ON CONFLICT (id) DO UPDATE
    SET version = excluded.version,
        name = excluded.name,
        comment = excluded.comment,
        status = excluded.status,
        concurrent_task_limit = excluded.concurrent_task_limit,
        is_deleted = excluded.is_deleted
"""

Handled = (
    QueueCreated
    | QueueDescribed
    | QueueLimitChanged
    | QueueSwitchedOn
    | QueueSwitchedOff
    | QueueRulesChosen
    | QueueDeleted
)


class QueueBoardProjection:
    """Folds queues with the domain's ``evolve``. The projection callback_list counts their callbacks."""

    name = "queue_board"
    summary = "Which queues does an organisation have?"
    handled = fact_types(Handled)
    ignored = fact_types(())
    subscription = QUEUE_PREFIX
    tuning = VIEW_TUNING
    tables = (Table("queue_board", key=("id",)),)

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str = "") -> None:
        """See the protocol."""
        queues = {queue.id: queue for queue in await _folded_queues(connection, events, suffix)}
        changed: set[int] = set()
        for event in events:
            queue_id = aggregate_number(event.stream)
            was = queues.get(queue_id)
            folded = was.version if was else 0
            if event.version <= folded:
                continue
            if event.version > folded + 1:
                raise VersionGap(event, folded)
            queues[queue_id] = evolve(was, event)
            changed.add(queue_id)
        if changed:
            text = msgspec.json.encode([queues[queue_id] for queue_id in sorted(changed)]).decode()
            await connection.execute(statement(_UPSERT, suffix), (text,), prepare=False)


async def _folded_queues(
    connection: AsyncConnection, events: Sequence[Recorded[Any]], suffix: str
) -> list[CallbackQueue]:
    ids = msgspec.json.encode({aggregate_number(event.stream) for event in events}).decode()
    cursor = await connection.execute(statement(_FOLDED, suffix), (ids,), prepare=False)
    rows = [dict(zip(_COLUMNS, row, strict=True)) for row in await cursor.fetchall()]
    return msgspec.convert(rows, list[CallbackQueue])
