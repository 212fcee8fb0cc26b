"""The state of a delivery after an attempt, and the time of the next: decisions without a clock."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus

import msgspec

from application.policies.notify_webhooks import WebhookKind
from application.ports.webhooks import DeliveryState

SHORT_S = (2, 10, 30)
LONG_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Backoff in seconds after the first, second … attempt (docs/webhooks.md, What your response means)."""

JITTER = 0.2
LONGEST_PAUSE = timedelta(hours=24)
FLAGGED_AFTER = 3

NOT_STARTED_S = 5
"""Seconds until an attempt that did not start is made."""

NOT_ALLOWED = "destination_not_allowed"
NOT_STARTED = "lookup_not_started"
NOT_SIGNED = "not_signed"
GONE = "gone"

_RETRIED_4XX = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_PAUSING = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


class ReceiverResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The response to an attempt: a status, or a constant word for why there was none.

    ``head`` is the start of the response's body, ``seconds`` the duration of the attempt; ``aborts`` says that the
    receiver does not want this message any more (header ``webhook-delivery: abort-message``).
    """

    seconds: float
    status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    aborts: bool = False
    head: bytes = b""

    @property
    def is_success(self) -> bool:
        """Return whether the receiver accepted the message."""
        return self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_evidence(self) -> bool:
        """Return whether the response shows anything about the receiver; our own troubles do not."""
        return self.error not in {NOT_STARTED, NOT_SIGNED}


class RetryState(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery before an attempt; ``step`` counts the attempts of its schedule, ``refusals`` 4xx responses in a row."""

    kind: WebhookKind
    step: int
    refusals: int
    expires_at: datetime


class Health(Enum):
    """The health of the receiver's host as an attempt shows it; a host that refuses one message is healthy."""

    HEALTHY = "healthy"
    FAILING = "failing"
    UNKNOWN = "unknown"


class DeliveryUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery after an attempt. ``pause_until`` applies to everything that goes to the host.

    ``is_counted`` is false for an attempt that did not start.
    """

    state: DeliveryState
    step: int
    health: Health
    refusals: int = 0
    due_at: datetime | None = None
    error: str | None = None
    pause_until: datetime | None = None
    is_counted: bool = True

    @property
    def is_gone(self) -> bool:
        """Return whether this URL accepts no more messages of this callback (410)."""
        return self.error == GONE


def decide_update(response: ReceiverResponse, retry_state: RetryState, now: datetime, jitter: float) -> DeliveryUpdate:
    """Return what follows from a response (docs/webhooks.md, What your response means).

    ``jitter``, from 0 to 1, shifts the next attempt between 20 % earlier and 20 % later.
    """
    status = response.status
    if response.error == NOT_STARTED:
        return _start_later(retry_state, now, jitter)
    if response.is_success:
        return DeliveryUpdate(state=DeliveryState.DELIVERED, step=retry_state.step + 1, health=Health.HEALTHY)
    final = _final_error(response)
    if final:
        health = Health.UNKNOWN if status is None else Health.HEALTHY
        return DeliveryUpdate(state=DeliveryState.FAILED, step=retry_state.step + 1, health=health, error=final)
    return _retry(response, retry_state, now, jitter)


def _start_later(retry_state: RetryState, now: datetime, jitter: float) -> DeliveryUpdate:
    due_at = now + timedelta(seconds=NOT_STARTED_S * _spread(jitter))
    is_late = due_at >= retry_state.expires_at
    return DeliveryUpdate(
        state=DeliveryState.EXPIRED if is_late else DeliveryState.PENDING,
        step=retry_state.step,
        health=Health.UNKNOWN,
        refusals=retry_state.refusals,
        due_at=None if is_late else due_at,
        error=NOT_STARTED,
        is_counted=False,
    )


def _spread(jitter: float) -> float:
    return 1 + JITTER * (2 * jitter - 1)


def _final_error(response: ReceiverResponse) -> str | None:
    if response.error == NOT_ALLOWED:
        return NOT_ALLOWED
    if response.aborts:
        return "aborted_by_receiver"
    return GONE if response.status == HTTPStatus.GONE else None


def _retry(response: ReceiverResponse, retry_state: RetryState, now: datetime, jitter: float) -> DeliveryUpdate:
    step, error = retry_state.step + 1, response.error or f"status_{response.status}"
    refused = _is_refusal(response.status)
    refusals = retry_state.refusals + 1 if refused else 0
    health = _health_of(response)
    is_short = retry_state.kind in {WebhookKind.BEFORE, WebhookKind.BEFORE_AGAIN}
    backoff = SHORT_S if is_short else LONG_S
    if retry_state.step >= len(backoff):
        state = DeliveryState.EXPIRED if is_short else DeliveryState.FAILED
        return DeliveryUpdate(state=state, step=step, health=health, refusals=refusals, error=error)
    due_at = now + timedelta(seconds=backoff[retry_state.step] * _spread(jitter))
    pause_until = None
    if response.status in _PAUSING and (requested := retry_at(response.retry_after, now)):
        due_at = pause_until = min(max(requested, due_at), max(now + LONGEST_PAUSE, due_at))
        health = Health.UNKNOWN
    state = DeliveryState.PENDING if due_at < retry_state.expires_at else DeliveryState.EXPIRED
    return DeliveryUpdate(
        state=state,
        step=step,
        health=health,
        refusals=refusals,
        due_at=due_at if state is DeliveryState.PENDING else None,
        error=error,
        pause_until=pause_until,
    )


def _health_of(response: ReceiverResponse) -> Health:
    if not response.is_evidence:
        return Health.UNKNOWN
    is_well = _is_refusal(response.status) or _is_redirect(response.status)
    return Health.HEALTHY if is_well else Health.FAILING


def _is_refusal(status: int | None) -> bool:
    """Return whether the receiver refuses this message, which shows nothing about its health."""
    return (
        status is not None
        and HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        and status not in _RETRIED_4XX
    )


def _is_redirect(status: int | None) -> bool:
    return status is not None and HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST


def retry_at(header: str | None, now: datetime) -> datetime | None:
    """Return the time of a Retry-After, which is in seconds or a date (RFC 9110 §10.2.3); None if it is neither."""
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
