"""What is told to receivers, and the rows that keep it until it is delivered."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, assert_never
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from psycopg import AsyncConnection

from domain.callback.callback import Status
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackDelayed,
    CallbackFact,
    CallbackFinished,
    CallbackRemoved,
    CallbackScheduled,
    CallEnded,
)
from domain.model import Recorded, tag_of
from domain.streams import aggregate_number
from infrastructure.postgres.sql import statement

Handled = AttemptStarted | AttemptSucceeded | CallbackFinished | CallbackCancelled
Ignored = CallbackScheduled | AttemptFailed | CallEnded | CallbackDelayed | CallbackRemoved

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


class WebhookKind(StrEnum):
    """Which of a callback's four URLs is told."""

    BEFORE = "before"
    BEFORE_AGAIN = "before_again"
    SUCCESS = "success"
    AFTER = "after"

    @property
    def lifetime(self) -> timedelta:
        """How long after its event a message is worth delivering."""
        return timedelta(minutes=2) if self in {WebhookKind.BEFORE, WebhookKind.BEFORE_AGAIN} else timedelta(hours=96)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is signed and sent, unchanged however often. ``id`` is the same wherever it is made."""

    id: str
    organization_id: int
    callback_id: int
    kind: WebhookKind
    url: str
    sequence: int
    position: int
    recorded_at: datetime
    body: bytes

    @property
    def expires_at(self) -> datetime:
        """When nobody wants it any more."""
        return self.recorded_at + self.kind.lifetime


class CallbackData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a receiver is told about the callback. ``status`` is the contract's word."""

    callback_id: int
    queue_id: int
    status: Status
    a_number: str
    b_number: str
    name: str | None = None
    extension_id: int | None = None
    task_id: str | None = None
    attempt: int | None = None
    call_id: str | None = None
    result: str | None = None
    comment: str | None = None


class MessageBody(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON of a message (webhooks.md, Contract). ``sequence`` grows along a callback: a lower one is stale."""

    id: str
    type: str
    timestamp: datetime
    organization_id: int
    sequence: int
    data: CallbackData


def message_of(event: Recorded[CallbackFact], scheduled: CallbackScheduled) -> Message | None:
    """Answer what the event of a callback is to tell, None where it tells nothing or the callback names no URL for it."""
    told = _told(event.fact, scheduled)
    if told is None or event.organization_id is None:
        return None
    kind, url, status, more = told
    message_id = f"msg_{uuid5(event.event_id, kind).hex}"
    callback_id = aggregate_number(event.stream)
    body = MessageBody(
        id=message_id,
        type=tag_of(event.fact),
        timestamp=event.recorded_at,
        organization_id=event.organization_id,
        sequence=event.version,
        data=CallbackData(
            callback_id=callback_id,
            queue_id=scheduled.queue_id,
            status=status,
            a_number=scheduled.personal.a_number,
            b_number=scheduled.personal.b_number,
            name=scheduled.personal.name,
            extension_id=scheduled.extension_id,
            task_id=scheduled.task_id,
            **more,
        ),
    )
    return Message(
        id=message_id,
        organization_id=event.organization_id,
        callback_id=callback_id,
        kind=kind,
        url=url,
        sequence=event.version,
        position=event.position,
        recorded_at=event.recorded_at,
        body=msgspec.json.encode(body),
    )


def _told(fact: CallbackFact, scheduled: CallbackScheduled) -> tuple[WebhookKind, str, Status, dict[str, Any]] | None:
    if isinstance(fact, Ignored):
        return None
    match fact:
        case AttemptStarted(attempt=attempt, call_id=call_id):
            kind, url = WebhookKind.BEFORE_AGAIN, scheduled.url_before_again
            if attempt == 1:
                kind, url = WebhookKind.BEFORE, scheduled.url_before
            status, more = Status.EXECUTED, {"attempt": attempt, "call_id": call_id}
        case AttemptSucceeded(attempt=attempt):
            kind, url, status, more = WebhookKind.SUCCESS, scheduled.url_success, Status.EXECUTED, {"attempt": attempt}
        case CallbackFinished(result=result, comment=comment):
            kind, url, status = WebhookKind.AFTER, scheduled.url_after, Status.FINISHED
            more = {"result": result, "comment": comment}
        case CallbackCancelled():
            kind, url, status, more = WebhookKind.AFTER, scheduled.url_after, Status.CANCELLED, {}
        case _:
            assert_never(fact)
    return (kind, url, status, more) if url else None


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
