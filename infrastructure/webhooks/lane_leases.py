"""Leases of lanes (docs/webhooks.md): a worker leases lanes, not single deliveries."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from application.policies.notify_webhooks import WebhookKind
from infrastructure.postgres.sql import load_statement, statement

LEASE_BEYOND_TIMEOUT_S = 15.0

_LEASE = statement("""
    UPDATE {schema}.webhook_lanes AS l
    SET fence = l.fence + 1, lease_until = now() + %s::interval
    FROM (
        SELECT l.id
        FROM {schema}.webhook_lanes AS l
        CROSS JOIN LATERAL (
            SELECT d.due_at
            FROM {schema}.webhook_deliveries AS d
            WHERE d.lane_id = l.id AND d.state = 'pending'
            ORDER BY d.due_at
            LIMIT 1
        ) AS d
        WHERE l.lease_until < now() AND l.paused_until <= now() AND l.open_until <= now() AND d.due_at <= now()
        ORDER BY d.due_at
        LIMIT %s
        FOR NO KEY UPDATE OF l SKIP LOCKED
    ) AS due
    WHERE l.id = due.id
    RETURNING l.id, l.fence, l.in_flight_max
""")
# A callback's deliveries are sent one after another, also across lanes: only its first pending one is a head.
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
            AND d.number <> ALL(%b::bigint[])
            AND d.position = (
                SELECT min(e.position)
                FROM {schema}.webhook_deliveries AS e
                WHERE e.callback_id = d.callback_id AND e.state = 'pending'
            )
        ORDER BY d.due_at, d.position
        LIMIT w.room
    ) AS h
""")
# Postpones due deliveries that cannot be sent to the due time of what blocks them, and by a second at least: otherwise
# their lane would look due, and be leased in a busy loop.
_RELEASE = load_statement(__name__, "release_lanes.sql")


class LaneLease(msgspec.Struct, frozen=True):
    """A lane that is leased until another worker leases it, which gives it a higher fence."""

    id: UUID
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


async def lease_lanes(connection: AsyncConnection, *, max_lanes: int, seconds: float) -> list[LaneLease]:
    """Lease lanes in which a delivery is due and which are not leased, those with the oldest due delivery first."""
    cursor = await connection.execute(_LEASE, (timedelta(seconds=seconds), max_lanes), prepare=True)
    return [LaneLease(*row) for row in await cursor.fetchall()]


async def read_due_heads(
    connection: AsyncConnection, room: Mapping[UUID, int], held: Collection[int]
) -> list[Delivery]:
    """Return what may be sent now in each lane, as many as it has room for, without the deliveries held already."""
    cursor = connection.cursor(binary=True)
    await cursor.execute(_HEADS, (list(room), list(room.values()), list(held)), prepare=True)
    return msgspec.convert(await cursor.fetchall(), list[Delivery])


async def release_lanes(connection: AsyncConnection, lanes: Sequence[tuple[UUID, int]]) -> None:
    """Release lanes with these fences, in which no attempt is in flight and no head is due."""
    ids, fences = [lane for lane, _ in lanes], [fence for _, fence in lanes]
    await connection.execute(_RELEASE, (ids, fences), prepare=True)
