"""Ports to webhooks: their deliveries, and the secrets that sign them."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from application.callers import Request


class DeliveryState(StrEnum):
    """The state of a delivery. All but PENDING are final, until the delivery is sent again on request."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Untold(StrEnum):
    """Reasons why a call is dialled although no receiver has accepted the webhook that announces it.

    NO_PLACE: the organisation's share of first attempts is used up. HOST_BUSY: too many attempts to its host are in flight.
    HELD_BACK: the host is paused, its circuit breaker is open, or an earlier webhook of the callback waits.
    NO_RESPONSE: not in time. FAILED: the receiver did not accept it, or could not be reached. UNAVAILABLE: the database is.
    """

    NO_PLACE = "no_place"
    HOST_BUSY = "host_busy"
    HELD_BACK = "held_back"
    NO_RESPONSE = "no_response"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery: a webhook that is sent to a receiver until it is delivered or given up.

    ``due_at`` is the time of the next attempt of a pending delivery. ``error`` is the reason why the last attempt failed.
    ``is_flagged``: the receiver rejected it three times in a row (4xx).
    """

    id: str
    number: int
    callback_id: int
    kind: str
    url: str
    type: str
    sequence: int
    position: int
    state: DeliveryState
    recorded_at: datetime
    due_at: datetime | None
    expires_at: datetime
    finished_at: datetime | None
    attempts: int
    error: str | None
    is_flagged: bool


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of a delivery: its time, its duration in milliseconds, and the receiver's response.

    ``answer`` is the beginning of the response's body.
    """

    attempt: int
    at: datetime
    ms: int
    status: int | None
    error: str | None
    answer: str


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter of deliveries; None matches all."""

    callback_id: int | None = None
    state: DeliveryState | None = None


class WebhookDeliveries(Protocol):
    """The deliveries of organisations, which are stored for 30 days."""

    async def page(
        self, organization_id: int, matching: DeliveryFilter, *, after: int, limit: int
    ) -> Sequence[DeliveryRow]:
        """Return at most ``limit`` deliveries with numbers above ``after``, oldest first. Raises StorageUnavailable."""
        ...

    async def one(self, organization_id: int, delivery_id: str) -> DeliveryRow:
        """Return a delivery. Raises DeliveryNotFound, StorageUnavailable."""
        ...

    async def attempts(self, organization_id: int, delivery_id: str) -> Sequence[AttemptRow]:
        """Return the attempts of a delivery, oldest first. Raises DeliveryNotFound, StorageUnavailable."""
        ...

    async def resend(self, organization_id: int, delivery_id: str) -> DeliveryRow:
        """Send a delivery again at once, with a new retry schedule. Raises DeliveryNotFound, StorageUnavailable."""
        ...


class WebhookSecrets(Protocol):
    """The secrets that sign an organisation's webhooks."""

    async def current(self, organization_id: int) -> str:
        """Return the current secret, ``whsec_`` and 32 bytes in base64; create it if there is none.

        Raises OrganizationNotFound, SecretUnreadable, StorageUnavailable.
        """
        ...

    async def rotate(self, organization_id: int, overlap_s: int, request: Request) -> str:
        """Replace the secret and return the new one; the old one signs too for ``overlap_s`` more seconds.

        The rotation is recorded in the event log. Raises InvalidField, OrganizationNotFound, SecretUnreadable,
        ConcurrentUpdate, StorageUnavailable.
        """
        ...
