"""Lanes: who delivers what (webhooks.md, Tables and lanes). A worker leases lanes, not deliveries."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from application.policies.notify_webhooks import WebhookKind
from infrastructure.postgres.sql import statement

LEASE_BEYOND_TIMEOUT_S = 15.0

_LEASE = statement(
    "UPDATE {schema}.webhook_lanes AS l SET fence = l.fence + 1, lease_until = now() + %s::interval FROM ("
    " SELECT l.id FROM {schema}.webhook_lanes AS l CROSS JOIN LATERAL (SELECT d.due_at FROM"
    " {schema}.webhook_deliveries AS d WHERE d.lane_id = l.id AND d.state = 'pending' ORDER BY d.due_at LIMIT 1) AS d"
    " WHERE l.lease_until < now() AND l.paused_until <= now() AND l.open_until <= now() AND d.due_at <= now()"
    " ORDER BY d.due_at LIMIT %s FOR NO KEY UPDATE OF l SKIP LOCKED) AS due"
    " WHERE l.id = due.id RETURNING l.id, l.fence, l.in_flight_max"
)
# A callback's deliveries go out one after another, whatever lanes they are in: only its first pending one is a head.
_FIRST = (
    "(SELECT min(e.position) FROM {schema}.webhook_deliveries AS e"
    " WHERE e.callback_id = d.callback_id AND e.state = 'pending')"
)
_HEADS = statement(
    "SELECT h.* FROM unnest(%b::uuid[], %b::int[]) AS w (lane_id, room) CROSS JOIN LATERAL (SELECT d.number, d.id,"
    " d.lane_id, d.organization_id, d.kind, d.url, d.body, d.attempts, d.step, d.refusals, d.recorded_at, d.expires_at"
    " FROM {schema}.webhook_deliveries AS d WHERE d.lane_id = w.lane_id AND d.state = 'pending' AND d.due_at <= now()"
    f" AND d.expires_at > now() AND d.number <> ALL(%b::bigint[]) AND d.position = {_FIRST}"
    " ORDER BY d.due_at, d.position LIMIT w.room) AS h"
)
# What is due and cannot be sent would make its lane look due for ever: it waits for what it waits for, at least a second.
_RELEASE = statement(
    "WITH held AS (UPDATE {schema}.webhook_lanes AS l SET lease_until = 'epoch'"
    " FROM unnest(%b::uuid[], %b::bigint[]) AS g (id, fence) WHERE l.id = g.id AND l.fence = g.fence RETURNING l.id)"
    " UPDATE {schema}.webhook_deliveries AS d SET due_at = greatest(now() + interval '1 second', head.due_at)"
    " FROM held CROSS JOIN LATERAL (SELECT d.number, greatest(h.due_at, l.paused_until, l.open_until) AS due_at"
    " FROM {schema}.webhook_deliveries AS d CROSS JOIN LATERAL (SELECT h.number, h.lane_id, h.due_at"
    " FROM {schema}.webhook_deliveries AS h WHERE h.callback_id = d.callback_id AND h.state = 'pending'"
    " ORDER BY h.position LIMIT 1) AS h JOIN {schema}.webhook_lanes AS l ON l.id = h.lane_id"
    " WHERE d.lane_id = held.id AND d.state = 'pending' AND d.due_at <= now()"
    " AND (h.number <> d.number OR d.expires_at <= now())) AS head WHERE d.number = head.number AND d.state = 'pending'"
)


class LaneLease(msgspec.Struct, frozen=True):
    """A lane that is ours until another takes it over, which gives it a higher fence."""

    id: UUID
    fence: int
    in_flight_max: int


class Delivery(msgspec.Struct, frozen=True, array_like=True):
    """A delivery that is to be attempted."""

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


async def lease_lanes(connection: AsyncConnection, *, most: int, seconds: float) -> list[LaneLease]:
    """Lease lanes in which something is due and which nobody holds, those first where it is due longest."""
    cursor = await connection.execute(_LEASE, (timedelta(seconds=seconds), most), prepare=True)
    return [LaneLease(*row) for row in await cursor.fetchall()]


async def read_due_heads(
    connection: AsyncConnection, rooms: Mapping[UUID, int], held: Collection[int]
) -> list[Delivery]:
    """Answer what may be sent now from each lane, as many as it has room for, without those that are held already."""
    cursor = connection.cursor(binary=True)
    await cursor.execute(_HEADS, (list(rooms), list(rooms.values()), list(held)), prepare=True)
    return msgspec.convert(await cursor.fetchall(), list[Delivery])


async def release_lanes(connection: AsyncConnection, lanes: Sequence[tuple[UUID, int]]) -> None:
    """Give up lanes with these fences, in which nothing is under way and no head is due."""
    ids, fences = [lane for lane, _ in lanes], [fence for _, fence in lanes]
    await connection.execute(_RELEASE, (ids, fences), prepare=True)
