"""Leases of lanes (docs/webhooks.md): a worker leases lanes, not single deliveries."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from application.policies.notify_webhooks import WebhookKind
from infrastructure.postgres.sql import load_statement, statement

LEASE_BEYOND_TIMEOUT_S = 15.0
READY_MAX = 256
"""Ready lanes of a class that are counted (find_ready_lanes.sql)."""

_FIND_READY = load_statement(__name__, "find_ready_lanes.sql")
_LEASE = statement("""
    UPDATE {schema}.webhook_lanes AS l
    SET fence = l.fence + 1, lease_until = now() + %b::interval
    FROM (
        SELECT l.id
        FROM unnest(%b::bigint[], %b::bool[], %b::int[]) AS t (organization_id, has_answered, room)
        CROSS JOIN LATERAL (
            SELECT l.id
            FROM {schema}.webhook_lanes AS l
            WHERE (l.organization_id, l.has_answered, l.ready_at) >= (t.organization_id, t.has_answered, '-infinity')
                AND (l.organization_id, l.has_answered, l.ready_at) <= (t.organization_id, t.has_answered, now())
                AND l.ready_at < 'infinity'
                AND l.lease_until < now()
                AND l.paused_until <= now()
                AND l.open_until <= now()
            ORDER BY l.organization_id, l.has_answered, l.ready_at
            LIMIT t.room
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS l
    ) AS due
    WHERE l.id = due.id
    RETURNING l.id, l.organization_id, l.has_answered, l.fence, l.in_flight_max
""")
# A callback's deliveries are sent one after another, also across lanes: only its first pending one is a head. Those held
# already are looked up in a hash table; with <> ALL, a kept plan would compare each row with each of thousands.
_HEADS = statement("""
    SELECT h.*
    FROM unnest(%b::uuid[], %b::int[]) AS w (lane_id, room)
    CROSS JOIN LATERAL (
        SELECT
            d.number, d.id, d.lane_id, d.organization_id, d.kind, d.url, d.body,
            d.attempts, d.step, d.refusals, d.recorded_at, d.expires_at
        FROM {schema}.webhook_deliveries AS d
        WHERE d.lane_id = w.lane_id
            AND d.state = 'pending'
            AND d.due_at <= now()
            AND d.expires_at > now()
            AND d.number NOT IN (SELECT unnest(%b::bigint[]))
            AND d.position = (
                SELECT min(e.position)
                FROM {schema}.webhook_deliveries AS e
                WHERE e.callback_id = d.callback_id AND e.state = 'pending'
            )
        ORDER BY d.due_at, d.position
        LIMIT w.room
    ) AS h
""")
# FOR UPDATE conflicts with the lock of those who make deliveries due; lanes of unfinished ones are released later.
_LOCK = statement("""
    SELECT l.id
    FROM {schema}.webhook_lanes AS l
    JOIN unnest(%b::uuid[], %b::bigint[]) AS g (id, fence) ON g.id = l.id AND g.fence = l.fence
    ORDER BY l.id
    FOR UPDATE OF l SKIP LOCKED
""")
_LEASED = statement("""
    SELECT l.id
    FROM {schema}.webhook_lanes AS l
    JOIN unnest(%b::uuid[], %b::bigint[]) AS g (id, fence) ON g.id = l.id AND g.fence = l.fence
""")
# Postpones due deliveries that cannot be sent to the due time of what blocks them, and by a second at least: otherwise
# their lane would look due, and be leased in a busy loop.
_POSTPONE = load_statement(__name__, "postpone_blocked.sql")
_RELEASE = statement("""
    UPDATE {schema}.webhook_lanes AS l
    SET lease_until = 'epoch',
        released_at = now(),
        ready_at = coalesce(
            (
                SELECT greatest(d.due_at, l.paused_until, l.open_until)
                FROM {schema}.webhook_deliveries AS d
                WHERE d.lane_id = l.id AND d.state = 'pending'
                ORDER BY d.due_at
                LIMIT 1
            ),
            'infinity'
        )
    WHERE l.id = ANY(%b::uuid[])
""")
_ABANDON = statement("""
    UPDATE {schema}.webhook_lanes AS l SET lease_until = 'epoch'
    FROM unnest(%b::uuid[], %b::bigint[]) AS g (id, fence)
    WHERE l.id = g.id AND l.fence = g.fence
""")
_WAKE = statement("""
    WITH held AS MATERIALIZED (
        SELECT id, ready_at, greatest(now(), paused_until, open_until) AS due_at
        FROM {schema}.webhook_lanes
        WHERE id = ANY(%b::uuid[])
        ORDER BY id
        FOR NO KEY UPDATE
    )
    UPDATE {schema}.webhook_lanes AS l SET ready_at = h.due_at
    FROM held AS h
    WHERE l.id = h.id AND h.ready_at > h.due_at
""")


class LaneClass(NamedTuple):
    """The lanes of an organisation to hosts that answered at some time, or to those that never did."""

    organization_id: int
    has_answered: bool


class LaneLease(msgspec.Struct, frozen=True):
    """A lane that is leased until another worker leases it, which gives it a higher fence."""

    id: UUID
    lane_class: LaneClass
    fence: int
    in_flight_max: int


class Delivery(msgspec.Struct, frozen=True, array_like=True):
    """A delivery to attempt."""

    number: int
    id: str
    lane_id: UUID
    organization_id: int
    kind: WebhookKind
    url: str
    body: bytes
    attempts: int
    step: int
    refusals: int
    recorded_at: datetime
    expires_at: datetime


async def find_ready_lanes(connection: AsyncConnection) -> dict[LaneClass, int]:
    """Return the number of lanes that can be leased now, up to ``READY_MAX``, of each class that has any."""
    cursor = await connection.execute(_FIND_READY, prepare=True)
    return {LaneClass(organization_id, has_answered): count async for organization_id, has_answered, count in cursor}


async def lease_lanes(
    connection: AsyncConnection, rooms: Mapping[LaneClass, int], *, seconds: float
) -> list[LaneLease]:
    """Lease lanes that are ready and not leased, as many of each class as there is room, the oldest first."""
    classes = [list(column) for column in zip(*rooms, strict=True)]
    cursor = await connection.execute(_LEASE, (timedelta(seconds=seconds), *classes, [*rooms.values()]), prepare=True)
    return [
        LaneLease(lane, LaneClass(organization_id, has_answered), fence, in_flight_max)
        async for lane, organization_id, has_answered, fence, in_flight_max in cursor
    ]


async def read_due_heads(
    connection: AsyncConnection, room: Mapping[UUID, int], held: Collection[int]
) -> list[Delivery]:
    """Return what may be sent now in each lane, as many as it has room for, without the deliveries held already."""
    cursor = connection.cursor(binary=True)
    await cursor.execute(_HEADS, (list(room), list(room.values()), list(held)), prepare=True)
    return msgspec.convert(await cursor.fetchall(), list[Delivery])


async def release_lanes(connection: AsyncConnection, lanes: Mapping[UUID, int]) -> set[UUID]:
    """Release lanes, given with their fences, in which no attempt is in flight and no head is due.

    Returns the lanes in which a transaction in progress makes a delivery due: they are still leased.
    """
    given = list(lanes), list(lanes.values())
    async with connection.transaction():
        locked = {lane for (lane,) in await (await connection.execute(_LOCK, given, prepare=True)).fetchall()}
        await connection.execute(_POSTPONE, (list(locked),), prepare=True)
        await connection.execute(_RELEASE, (list(locked),), prepare=True)
    if len(locked) == len(lanes):
        return set()
    leased = {lane for (lane,) in await (await connection.execute(_LEASED, given, prepare=True)).fetchall()}
    return leased - locked


async def abandon_lanes(connection: AsyncConnection, lanes: Mapping[UUID, int]) -> None:
    """End the leases of lanes, given with their fences, so that others can lease them at once."""
    await connection.execute(_ABANDON, (list(lanes), list(lanes.values())), prepare=True)


async def wake_lanes(connection: AsyncConnection, lanes: Collection[UUID]) -> None:
    """Make lanes ready in which a delivery has become due by a transaction that is committed."""
    await connection.execute(_WAKE, (list(lanes),), prepare=True)
