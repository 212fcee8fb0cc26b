"""Whenever a callback has to wait, it gets an entry in the timetable, and its queue has slots."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection

from application.policies.keep_timetable import Handled, Ignored, TimetableChanges, TimetableEntry, plan_changes
from domain.model import Recorded
from domain.streams import CALLBACK_PREFIX
from infrastructure.dispatch.queue_slots import lock_slots
from infrastructure.dispatch.timetable_news import LONG_AGO, format_news
from infrastructure.policies.schedule_cache import ScheduleCache
from infrastructure.postgres.notifications import TIMETABLE
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.handler import POLICY_TUNING, fact_types, topics_of

# The timetable has rows of a queue whose stream was parked until now.
_ADD_SLOTS = statement("""
    INSERT INTO {schema}.queue_slots (queue_id, organization_id, is_on, slots, next_due_at, next_callback_id)
    SELECT q.queue_id, q.organization_id, q.is_on, q.slots, coalesce(t.due_at, 'infinity'), coalesce(t.callback_id, 0)
    FROM json_to_recordset(%s::json) AS q (queue_id bigint, organization_id bigint, is_on boolean, slots int)
    LEFT JOIN LATERAL (
        SELECT due_at, callback_id
        FROM {schema}.timetable
        WHERE queue_id = q.queue_id
        ORDER BY due_at, callback_id
        LIMIT 1
    ) AS t ON true
    WHERE NOT EXISTS (SELECT FROM {schema}.queue_slots WHERE queue_id = q.queue_id)
    ORDER BY q.queue_id
    ON CONFLICT DO NOTHING
""")
# In a deleted queue, or under rules that name another leg or none, callbacks no longer wait for the lines that they waited for.
_CHANGE_SLOTS = statement("""
    WITH given AS MATERIALIZED (
        SELECT *
        FROM json_to_recordset(%s::json) AS g (
            queue_id bigint, is_on boolean, is_deleted boolean, slots int, rules jsonb
        )
    ), held AS MATERIALIZED (
        SELECT queue_id
        FROM {schema}.queue_slots
        WHERE queue_id IN (SELECT queue_id FROM given)
        ORDER BY queue_id
        FOR UPDATE
    )
    UPDATE {schema}.queue_slots AS q
    SET is_on = coalesce(g.is_on, q.is_on),
        is_deleted = coalesce(g.is_deleted, q.is_deleted),
        slots = coalesce(g.slots, q.slots),
        retry_policy = CASE
            WHEN g.rules IS NULL THEN q.retry_policy ELSE nullif(g.rules -> 'retry_policy', 'null')
        END,
        client_leg = CASE WHEN g.rules IS NULL THEN q.client_leg ELSE g.rules ->> 'client_leg' END,
        freed_due_at = CASE
            WHEN g.is_deleted OR g.rules ->> 'client_leg' IS DISTINCT FROM q.client_leg AND g.rules IS NOT NULL
            THEN CASE WHEN q.client_leg IS NULL THEN q.freed_due_at ELSE '-infinity' END
            ELSE q.freed_due_at
        END
    FROM given AS g
    JOIN held USING (queue_id)
    WHERE q.queue_id = g.queue_id
    RETURNING q.organization_id
""")
# Only callbacks without a later event wait. As a subquery that event is looked up by index, even when the planner has no statistics.
_ADD_ENTRIES = statement(
    """
    INSERT INTO {schema}.timetable (callback_id, queue_id, organization_id, due_at, position, a_line, b_line)
    SELECT callback_id, queue_id, organization_id, due_at, position, a_line, b_line
    FROM unnest(
        %b::bigint[], %b::bigint[], %b::bigint[], %b::timestamptz[],
        %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[]
    ) AS d (callback_id, queue_id, organization_id, due_at, position, version, a_line, b_line)
    WHERE (
        SELECT notification_id
        FROM {log}
        WHERE originator_id = '<callback>' || d.callback_id AND originator_version = d.version + 1
    ) IS NULL
    ORDER BY callback_id
    ON CONFLICT (callback_id) DO UPDATE
    SET due_at = excluded.due_at,
        position = excluded.position,
        a_line = excluded.a_line,
        b_line = excluded.b_line,
        held_by = NULL
""".replace("<callback>", CALLBACK_PREFIX)
)
_DELETE_ENTRIES = statement("""
    WITH waits AS (DELETE FROM {schema}.line_waits WHERE callback_id = ANY(%(callbacks)b))
    DELETE FROM {schema}.timetable WHERE callback_id = ANY(%(callbacks)b)
""")
_HANG_UP = statement("UPDATE {schema}.open_calls SET hang_up = true WHERE callback_id = ANY(%b) AND NOT hang_up")
_NOTIFY = b"SELECT pg_notify(%s, %s)"


class KeepTimetable:
    """Keeps the slots of queues and the timetable, from which the dispatcher leases due callbacks."""

    name = "keep_timetable"
    summary = "Whenever a callback has to wait, it gets an entry in the timetable, and its queue has slots."
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = topics_of(handled)
    tuning = POLICY_TUNING

    def __init__(self, schedules: ScheduleCache) -> None:
        """Read the queue and the phone numbers of a callback from ``schedules``."""
        self._schedules = schedules

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """See the protocol."""
        changes = plan_changes(events, await self._schedules.load(connection, events))
        if changes.slot_changes and changes.entries:
            queues = {*changes.slot_changes, *(entry.queue_id for entry in changes.entries.values())}
            await lock_slots(connection, queues)
        news = await _write_slots(connection, changes)
        if changes.entries:
            cursor = await connection.execute(_ADD_ENTRIES, _columns(changes.entries.values()), prepare=True)
            if cursor.rowcount:
                _note_entries(news, changes.entries.values())
        hung_up = 0
        if changes.cancelled:
            cancelled = sorted(changes.cancelled)
            await connection.execute(_DELETE_ENTRIES, {"callbacks": cancelled}, prepare=True)
            hung_up = (await connection.execute(_HANG_UP, (cancelled,), prepare=True)).rowcount
        if news or hung_up:
            await connection.execute(_NOTIFY, (TIMETABLE, format_news(news)))


async def _write_slots(connection: AsyncConnection, changes: TimetableChanges) -> dict[int, datetime]:
    """Write new and changed slots; return their organisations, whose queues may start calls at any time now."""
    organizations = {new.organization_id for new in changes.new_slots}
    if changes.new_slots:
        await connection.execute(_ADD_SLOTS, (_json(changes.new_slots),))
    if changes.slot_changes:
        changed = await connection.execute(_CHANGE_SLOTS, (_json(list(changes.slot_changes.values())),))
        organizations |= {organization_id for (organization_id,) in await changed.fetchall()}
    return dict.fromkeys(organizations, LONG_AGO)


def _note_entries(news: dict[int, datetime], entries: Iterable[TimetableEntry]) -> None:
    """Note from when on these entries may be dialled."""
    for entry in entries:
        news[entry.organization_id] = min(entry.due_at, news.get(entry.organization_id, entry.due_at))


def _json(rows: Sequence[msgspec.Struct]) -> str:
    return msgspec.json.encode(rows).decode()


def _columns(entries: Iterable[TimetableEntry]) -> tuple[list[Any], ...]:
    return tuple(map(list, zip(*map(msgspec.structs.astuple, entries), strict=True)))
