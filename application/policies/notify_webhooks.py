"""Whenever an event occurs for which a callback names a URL, a message to that URL is due.

Decisions only: infrastructure/policies/notify_webhooks.py reads and writes the rows.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, assert_never
from uuid import uuid5

import msgspec

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

Handled = AttemptStarted | AttemptSucceeded | CallbackFinished | CallbackCancelled
Ignored = CallbackScheduled | AttemptFailed | CallEnded | CallbackDelayed | CallbackRemoved


class WebhookKind(StrEnum):
    """The four URLs of a callback that receive webhooks."""

    BEFORE = "before"
    BEFORE_AGAIN = "before_again"
    SUCCESS = "success"
    AFTER = "after"

    @property
    def lifetime(self) -> timedelta:
        """Time after its event for which a message is worth delivering."""
        return timedelta(minutes=2) if self in {WebhookKind.BEFORE, WebhookKind.BEFORE_AGAIN} else timedelta(hours=96)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is signed and sent, the same in every attempt. ``id`` is the same wherever the message is made."""

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
        """Time from which the message is no longer delivered."""
        return self.recorded_at + self.kind.lifetime


class CallbackData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The callback in a message. ``status`` is the word of ``docs/contracts/task_scheduler.md``."""

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
    """The JSON of a message (``docs/webhooks.md``). ``sequence`` grows along a callback: a lower one is stale."""

    id: str
    type: str
    timestamp: datetime
    organization_id: int
    sequence: int
    data: CallbackData


def message_of(event: Recorded[CallbackFact], scheduled: CallbackScheduled) -> Message | None:
    """Return the message about the event of a callback.

    None for an event without a message, and when the callback names no URL for it.
    """
    content = _content(event.fact, scheduled)
    if content is None or event.organization_id is None:
        return None
    kind, url, status, more = content
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


def _content(
    fact: CallbackFact, scheduled: CallbackScheduled
) -> tuple[WebhookKind, str, Status, dict[str, Any]] | None:
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
