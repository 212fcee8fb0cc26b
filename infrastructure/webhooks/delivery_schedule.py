"""What becomes of a delivery after an attempt, and when it is tried again: decisions without a clock."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus

import msgspec

from application.policies.notify_webhooks import WebhookKind
from application.ports.webhooks import DeliveryState

SHORT_S = (2, 10, 30)
LONG_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Pauses after the first, second … attempt (webhooks.md, Schedules)."""

JITTER = 0.2
LONGEST_PAUSE = timedelta(hours=24)
FLAGGED_AFTER = 3

NOT_ALLOWED = "destination_not_allowed"
GONE = "gone"

_RETRIED_4XX = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_PAUSING = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


class ReceiverResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt came to: a status, or a constant word for why there was none.

    ``head`` is how the answer's body begins, ``seconds`` how long all took; ``aborts`` says that the receiver wants this
    message no more (header ``webhook-delivery: abort-message``).
    """

    seconds: float
    status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    aborts: bool = False
    head: bytes = b""


class RetryState(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery before an attempt; ``step`` counts the attempts of its schedule, ``refusals`` answers of 4xx in a row."""

    kind: WebhookKind
    step: int
    refusals: int
    expires_at: datetime


class Health(Enum):
    """What an attempt says about the receiver's host; a host that refuses one message is well."""

    HEALTHY = "well"
    FAILING = "ill"
    UNKNOWN = "untold"


class DeliveryUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a delivery. ``pause_until`` holds for all that goes to the host."""

    state: DeliveryState
    step: int
    health: Health
    refusals: int = 0
    due_at: datetime | None = None
    error: str | None = None
    pause_until: datetime | None = None

    @property
    def is_gone(self) -> bool:
        """Whether nothing more is wanted at this URL for this callback (410)."""
        return self.error == GONE


def decide_update(answer: ReceiverResponse, standing: RetryState, now: datetime, luck: float) -> DeliveryUpdate:
    """Decide what an answer means (webhooks.md, Contract); ``luck``, from 0 to 1, is the jitter's."""
    status = answer.status
    if status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return DeliveryUpdate(state=DeliveryState.DELIVERED, step=standing.step + 1, health=Health.HEALTHY)
    final = _final_error(answer)
    if final:
        health = Health.UNKNOWN if status is None else Health.HEALTHY
        return DeliveryUpdate(state=DeliveryState.FAILED, step=standing.step + 1, health=health, error=final)
    return _again(answer, standing, now, luck)


def _final_error(answer: ReceiverResponse) -> str | None:
    if answer.error == NOT_ALLOWED:
        return NOT_ALLOWED
    if answer.aborts:
        return "aborted_by_receiver"
    return GONE if answer.status == HTTPStatus.GONE else None


def _again(answer: ReceiverResponse, standing: RetryState, now: datetime, luck: float) -> DeliveryUpdate:
    step, error = standing.step + 1, answer.error or f"status_{answer.status}"
    refused = _is_refusal(answer.status)
    refusals = standing.refusals + 1 if refused else 0
    health = Health.HEALTHY if refused or _is_redirect(answer.status) else Health.FAILING
    is_short = standing.kind in {WebhookKind.BEFORE, WebhookKind.BEFORE_AGAIN}
    pauses = SHORT_S if is_short else LONG_S
    if standing.step >= len(pauses):
        state = DeliveryState.EXPIRED if is_short else DeliveryState.FAILED
        return DeliveryUpdate(state=state, step=step, health=health, refusals=refusals, error=error)
    due_at = now + timedelta(seconds=pauses[standing.step] * (1 + JITTER * (2 * luck - 1)))
    pause_until = None
    if answer.status in _PAUSING and (asked := retry_at(answer.retry_after, now)):
        due_at = pause_until = min(max(asked, due_at), max(now + LONGEST_PAUSE, due_at))
        health = Health.UNKNOWN
    state = DeliveryState.PENDING if due_at < standing.expires_at else DeliveryState.EXPIRED
    return DeliveryUpdate(
        state=state,
        step=step,
        health=health,
        refusals=refusals,
        due_at=due_at if state is DeliveryState.PENDING else None,
        error=error,
        pause_until=pause_until,
    )


def _is_refusal(status: int | None) -> bool:
    """Whether the receiver refuses this message, and says nothing about its own health."""
    return (
        status is not None
        and HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        and status not in _RETRIED_4XX
    )


def _is_redirect(status: int | None) -> bool:
    return status is not None and HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST


def retry_at(header: str | None, now: datetime) -> datetime | None:
    """Answer the time that Retry-After names, in seconds or as a date (RFC 9110 §10.2.3); None for neither."""
    if header is None:
        return None
    text = header.strip()
    try:
        if text.isascii() and text.isdecimal():
            return now + min(timedelta(seconds=int(text[:12])), 2 * LONGEST_PAUSE)
        at = parsedate_to_datetime(text)
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
