"""Webhooks as the use cases see them: which targets are taken, and what became of deliveries."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from application.callers import Request


class DeliveryState(StrEnum):
    """Where a delivery stands; all but the first are final, until somebody asks for it to be sent again."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook on its way to a receiver, or what became of it.

    ``due_at`` is when it is tried next, while it is pending. ``error`` tells why the last attempt failed; ``is_flagged`` that
    the receiver refused it three times in a row (4xx).
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
    """One attempt to deliver: when, how long it took in milliseconds, and what the receiver answered."""

    attempt: int
    at: datetime
    ms: int
    status: int | None
    error: str | None
    answer: str


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are wanted; what is None filters nothing."""

    callback_id: int | None = None
    state: DeliveryState | None = None


class WebhookDeliveries(Protocol):
    """The deliveries of organisations, kept for 30 days."""

    async def page(
        self, organization_id: int, wanted: DeliveryFilter, *, after: int, limit: int
    ) -> Sequence[DeliveryRow]:
        """Answer at most ``limit`` deliveries whose numbers follow ``after``, oldest first. Raises StorageUnavailable."""
        ...

    async def one(self, organization_id: int, delivery_id: str) -> DeliveryRow:
        """Answer a delivery. Raises DeliveryNotFound, StorageUnavailable."""
        ...

    async def attempts(self, organization_id: int, delivery_id: str) -> Sequence[AttemptRow]:
        """Answer the attempts of a delivery, oldest first. Raises DeliveryNotFound, StorageUnavailable."""
        ...

    async def resend(self, organization_id: int, delivery_id: str) -> DeliveryRow:
        """Have a delivery sent again at once, on a new schedule. Raises DeliveryNotFound, StorageUnavailable."""
        ...


class WebhookSecrets(Protocol):
    """The secrets that sign an organisation's webhooks."""

    async def current(self, organization_id: int) -> str:
        """Answer the current secret, made now if there is none: ``whsec_`` and 32 bytes in base64.

        Raises OrganizationNotFound, SecretUnreadable, StorageUnavailable.
        """
        ...

    async def rotate(self, organization_id: int, overlap_s: int, request: Request) -> str:
        """Answer a new secret; the old one signs beside it for ``overlap_s`` seconds more.

        The rotation is on record. Raises InvalidField, OrganizationNotFound, SecretUnreadable, ConcurrentUpdate, StorageUnavailable.
        """
        ...
