"""Whenever a callback has to wait, then it stands in the timetable, under a queue whose slots are known."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection

from application.policies.keep_timetable import Due, Handled, Ignored, Plan, plan
from domain.model import Recorded
from domain.streams import CALLBACK_PREFIX
from infrastructure.policies.schedule_cache import Schedules
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions.handler import POLICY_TUNING, fact_types, topics_of

CHANNEL = "timetable"
"""Is notified when there may be something to start, or a call to hang up."""

_OPEN = statement(
    "INSERT INTO {schema}.queue_slots (queue_id, organization_id, is_on, slots)"
    " SELECT queue_id, organization_id, is_on, slots FROM json_populate_recordset(NULL::{schema}.queue_slots, %s::json)"
    " ORDER BY queue_id ON CONFLICT DO NOTHING"
)
_CHANGE = statement(
    "WITH given AS MATERIALIZED (SELECT * FROM json_to_recordset(%s::json)"
    " AS g (queue_id bigint, is_on boolean, is_deleted boolean, slots int, rules jsonb)),"
    " held AS MATERIALIZED (SELECT queue_id FROM {schema}.queue_slots"
    " WHERE queue_id IN (SELECT queue_id FROM given) ORDER BY queue_id FOR UPDATE)"
    " UPDATE {schema}.queue_slots AS q SET is_on = coalesce(g.is_on, q.is_on),"
    " is_deleted = coalesce(g.is_deleted, q.is_deleted), slots = coalesce(g.slots, q.slots),"
    " retry_policy = CASE WHEN g.rules IS NULL THEN q.retry_policy ELSE nullif(g.rules -> 'retry_policy', 'null') END,"
    " client_leg = CASE WHEN g.rules IS NULL THEN q.client_leg ELSE g.rules ->> 'client_leg' END"
    " FROM given AS g JOIN held USING (queue_id) WHERE q.queue_id = g.queue_id"
)
# Only what nothing has happened to since still waits. As a subquery it is looked up by index, whatever the planner knows.
_ADD = statement(
    "INSERT INTO {schema}.timetable (callback_id, queue_id, organization_id, due_at, position, a_line, b_line)"
    " SELECT callback_id, queue_id, organization_id, due_at, position, a_line, b_line FROM unnest(%b::bigint[],"
    " %b::bigint[], %b::bigint[], %b::timestamptz[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])"
    " AS d (callback_id, queue_id, organization_id, due_at, position, version, a_line, b_line)"
    f" WHERE (SELECT notification_id FROM {{log}} WHERE originator_id = '{CALLBACK_PREFIX}' || d.callback_id"
    " AND originator_version = d.version + 1) IS NULL ORDER BY callback_id"
    " ON CONFLICT (callback_id) DO UPDATE SET due_at = excluded.due_at, position = excluded.position,"
    " a_line = excluded.a_line, b_line = excluded.b_line"
)
_REMOVE = statement("DELETE FROM {schema}.timetable WHERE callback_id = ANY(%b)")
_HANG_UP = statement("UPDATE {schema}.open_calls SET hang_up = true WHERE callback_id = ANY(%b) AND NOT hang_up")
_NOTIFY = f"SELECT pg_notify('{CHANNEL}', '')".encode()


class KeepTimetable:
    """Keeps the slots of queues and the timetable, which the dispatcher takes from."""

    name = "keep_timetable"
    summary = "Whenever a callback has to wait, then it stands in the timetable, under a queue whose slots are known."
    handled = fact_types(Handled)
    ignored = fact_types(Ignored)
    subscription = topics_of(handled)
    tuning = POLICY_TUNING

    def __init__(self, schedules: Schedules) -> None:
        """Learn from ``schedules`` which queue a callback is in."""
        self._schedules = schedules

    async def handle(self, connection: AsyncConnection, events: Sequence[Recorded[Any]]) -> None:
        """See the protocol."""
        made = plan(events, await self._schedules.of(connection, events))
        changed = await _keep_queues(connection, made)
        if made.due:
            changed += (await connection.execute(_ADD, _columns(made.due.values()), prepare=True)).rowcount
        if made.unwanted:
            unwanted = (sorted(made.unwanted),)
            await connection.execute(_REMOVE, unwanted, prepare=True)
            changed += (await connection.execute(_HANG_UP, unwanted, prepare=True)).rowcount
        if changed:
            await connection.execute(_NOTIFY)


async def _keep_queues(connection: AsyncConnection, made: Plan) -> int:
    if made.opened:
        await connection.execute(_OPEN, (_json(made.opened),))
    if made.changed:
        await connection.execute(_CHANGE, (_json(list(made.changed.values())),))
    return len(made.opened) + len(made.changed)


def _json(rows: Sequence[msgspec.Struct]) -> str:
    return msgspec.json.encode(rows).decode()


def _columns(due: Iterable[Due]) -> tuple[list[Any], ...]:
    return tuple(map(list, zip(*map(msgspec.structs.astuple, due), strict=True)))
