"""The outbox: messages as rows, from the transaction that causes them until they are delivered."""

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from psycopg import AsyncConnection

from application.policies.notify_webhooks import Message
from infrastructure.postgres.sql import load_statement

CHANNEL = "webhooks"
KEPT_FOR = timedelta(days=30)
LEASE_S = 30.0
"""How long a first attempt may stay unrecorded: 15 s longer than the longest timeout of its request."""

_PORTS = {"http": 80, "https": 443}
_ENQUEUE = load_statement(__name__, "enqueue.sql")


def origin_of(url: str) -> str:
    """Return the scheme, host and port of a URL, which identify its lane within the organisation."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"


def lane_of(organization_id: int, origin: str) -> UUID:
    """Return the id of the organisation's lane to an origin."""
    return uuid5(NAMESPACE_URL, f"{organization_id} {origin}")


async def enqueue(connection: AsyncConnection, messages: Sequence[Message], *, leased_to: UUID | None = None) -> None:
    """Store messages as deliveries, in one statement of the connection's transaction.

    Skips messages that are stored already, and those so old that their deliveries would have been deleted. With
    ``leased_to`` no other process sends them for ``LEASE_S`` seconds, and no delivery loop is woken: the caller makes the
    first attempts itself (``FirstAttemptSender``).
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
    await connection.execute(_ENQUEUE, (*columns, KEPT_FOR, CHANNEL, leased_to, lease, leased_to), prepare=True)
