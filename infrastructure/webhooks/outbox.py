"""The outbox: messages as rows, from the transaction that causes them until they are delivered."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

from psycopg import AsyncConnection

from application.policies.notify_webhooks import Message
from application.webhook_targets import host_of
from infrastructure.postgres.notifications import WEBHOOKS
from infrastructure.postgres.sql import load_statement

KEPT_FOR = timedelta(days=30)
LEASE_S = 50.0
"""How long a first attempt may stay unrecorded: 15 s longer than the longest timeout of a request, and its look-up's wait."""

_ENQUEUE = load_statement(__name__, "enqueue.sql")


def lane_of(organization_id: int, host: str) -> UUID:
    """Return the id of the organisation's lane to a host."""
    return uuid5(NAMESPACE_URL, f"{organization_id} {host}")


async def enqueue(connection: AsyncConnection, messages: Sequence[Message], *, leased_to: UUID | None = None) -> None:
    """Store messages as deliveries, in one statement of the connection's transaction.

    Skips messages that are stored already, and those so old that their deliveries would have been deleted. With
    ``leased_to`` no other process sends them for ``LEASE_S`` seconds, and no delivery loop is woken: the caller makes the
    first attempts itself (``FirstAttemptSender``).
    """
    if not messages:
        return
    hosts = [host_of(message.url) for message in messages]
    columns = (
        [message.id for message in messages],
        [message.organization_id for message in messages],
        [lane_of(message.organization_id, host) for message, host in zip(messages, hosts, strict=True)],
        hosts,
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
    await connection.execute(_ENQUEUE, (*columns, KEPT_FOR, lease, WEBHOOKS, leased_to, lease, leased_to), prepare=True)
