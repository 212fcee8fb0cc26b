"""What is told to receivers, and the rows that keep it until it is delivered."""

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from psycopg import AsyncConnection

from application.policies.notify_webhooks import Message
from infrastructure.postgres.sql import statement

CHANNEL = "webhooks"
KEPT_FOR = timedelta(days=30)
LEASE_S = 30.0
"""How long a first attempt may stay unrecorded: 15 s longer than the longest of its requests is waited for."""

_PORTS = {"http": 80, "https": 443}
_PUT = statement(
    "WITH given AS (SELECT * FROM unnest(%b::text[], %b::bigint[], %b::uuid[], %b::text[], %b::bigint[], %b::text[],"
    " %b::text[], %b::bigint[], %b::bigint[], %b::timestamptz[], %b::bytea[], %b::timestamptz[]) AS g (id,"
    " organization_id, lane_id, origin, callback_id, kind, url, sequence, position, recorded_at, body, expires_at)"
    " WHERE recorded_at > now() - %b::interval),"
    " lanes AS (INSERT INTO {schema}.webhook_lanes (id, organization_id, origin)"
    " SELECT DISTINCT lane_id, organization_id, origin FROM given AS g"
    " WHERE NOT EXISTS (SELECT FROM {schema}.webhook_lanes AS l WHERE l.id = g.lane_id)"
    " ORDER BY lane_id ON CONFLICT DO NOTHING),"
    " told AS (SELECT pg_notify(%b, '') WHERE %b::uuid IS NULL)"
    " INSERT INTO {schema}.webhook_deliveries (id, organization_id, lane_id, callback_id, kind, url, sequence, position,"
    " recorded_at, body, due_at, expires_at, leased_to)"
    " SELECT id, organization_id, lane_id, callback_id, kind, url, sequence, position, recorded_at, body,"
    " now() + %b::interval, expires_at, %b::uuid FROM given, (SELECT count(*) FROM told) AS told ORDER BY position"
    " ON CONFLICT (id) DO NOTHING"
)


def origin_of(url: str) -> str:
    """Answer the scheme, host and port of a URL: what shares a lane."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"


def lane_of(organization_id: int, origin: str) -> UUID:
    """Answer the id of the organisation's lane to an origin."""
    return uuid5(NAMESPACE_URL, f"{organization_id} {origin}")


async def enqueue(connection: AsyncConnection, messages: Sequence[Message], *, leased_to: UUID | None = None) -> None:
    """Keep messages until they are delivered, in one statement of the connection's transaction; known ones are left out.

    So are those whose deliveries would be forgotten by now. With ``leased_to`` nobody else sends them for ``LEASE_S``
    seconds, and nobody is woken: whoever puts them makes the first attempt itself (FirstAttempts).
    """
    if not messages:
        return
    origins = [origin_of(message.url) for message in messages]
    columns = (
        [message.id for message in messages],
        [message.organization_id for message in messages],
        [lane_of(message.organization_id, origin) for message, origin in zip(messages, origins, strict=True)],
        origins,
        [message.callback_id for message in messages],
        [message.kind.value for message in messages],
        [message.url for message in messages],
        [message.sequence for message in messages],
        [message.position for message in messages],
        [message.recorded_at for message in messages],
        [message.body for message in messages],
        [message.expires_at for message in messages],
    )
    lease = timedelta(seconds=LEASE_S if leased_to else 0)
    await connection.execute(_PUT, (*columns, KEPT_FOR, CHANNEL, leased_to, lease, leased_to), prepare=True)
