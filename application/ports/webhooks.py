"""Webhooks as the use cases see them: which targets are taken, and what became of deliveries."""

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

import msgspec

from application.callers import Request
from application.errors import NotFound
from application.webhook_targets import Network, is_allowed, is_local_name, is_open, literal

URL_MAX = 2_048
_PORTS = {"http": 80, "https": 443}
_UNWANTED = re.compile(r"[\x00-\x20\x7f\\]")
_ORIGIN = re.compile(r"https?://[^/?#]+", re.IGNORECASE)
_REFUSED = "Expected the address of a public server; this one is private, or its port is not 80, 443 or above 1023"


class BadTarget(ValueError):
    """A URL cannot be a webhook's target; the message is a sentence for the client, ``kind`` a stable word."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class DeliveryNotFound(NotFound):
    """No such delivery, or it is so old that it is forgotten."""


class WebhookOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment sets for webhooks; times are in seconds.

    ``opened`` are private networks that may be reached all the same. ``secrets_key`` are 32 bytes that seal secrets;
    without it a key in the database does.
    """

    opened: tuple[Network, ...] = ()
    timeout: float = 15.0
    before_wait: float = 3.0
    secrets_key: bytes | None = None


def check_target(url: str, opened: tuple[Network, ...] = ()) -> None:
    """Check a URL as a webhook's target, without asking any resolver. Raises BadTarget.

    A courtesy to the client: whoever sends checks each address again where the connection is opened.
    """
    if len(url) > URL_MAX:
        raise BadTarget(f"Expected at most {URL_MAX} characters", "string_too_long")
    if _UNWANTED.search(url):
        raise BadTarget("Expected an address without blanks, control characters and backslashes", "url_parsing")
    origin = _ORIGIN.match(url)
    if origin is None:
        raise BadTarget("Expected an http or https address", "url_parsing")
    _check_origin(origin[0], opened)


@lru_cache(maxsize=4096)
def _check_origin(origin: str, opened: tuple[Network, ...]) -> None:
    """Check the part of a URL up to its path: callbacks come by the thousand with few of these."""
    parts, host, port = _split(origin)
    if parts.username is not None or parts.password is not None:
        raise BadTarget("Expected an address without a user name or password", "url_userinfo")
    try:
        address = literal(host)
    except ValueError as error:
        raise BadTarget("Expected a host name or an address", "url_parsing") from error
    if not (_is_likely(host, port, opened) if address is None else is_allowed(address, port, opened)):
        raise BadTarget(_REFUSED, "destination_not_allowed")


def _split(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadTarget("Expected an http or https address", "url_parsing") from error
    if parts.scheme not in _PORTS or not host or "%" in host or port == 0:
        raise BadTarget("Expected an http or https address", "url_parsing")
    return parts, host, port or _PORTS[parts.scheme]


def _is_likely(host: str, port: int, opened: tuple[Network, ...]) -> bool:
    """Whether a name may be public: with networks opened it may also stand for one of theirs, on any port."""
    if is_local_name(host):
        return is_open(opened)
    return bool(opened) or port in _PORTS.values() or port >= 1024  # noqa: PLR2004 - unprivileged


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


class SecretUnreadable(Exception):
    """A secret was sealed with another key than the one that is set (PEREZVON_SECRETS_KEY)."""

    code = "secret_unreadable"
