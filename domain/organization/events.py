"""Facts of an organisation. Granted and revoked access is part of its history; secrets are stored as hashes."""

from datetime import datetime

import msgspec

from domain.callback.retry_policy import RetryPolicy
from domain.model import Fact, Personal
from domain.permissions import Role


class PersonName(Personal, frozen=True, kw_only=True):
    """The name of a person."""

    name: str


class OperatorDetails(Personal, frozen=True, kw_only=True):
    """The operator's name, and the number or extension that a callback calls first."""

    name: str
    number: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation's settings (docs/settings.md)."""

    region: str = "KZ"
    timezone: str = "UTC"
    open_intake: bool = True
    callback_queue: int | None = None
    callback_tries: int = 3
    callback_pause: int = 300
    caller_id: str | None = None
    retry_policy: RetryPolicy | None = None
    limits: dict[str, int] = {}
    home_region: str | None = None
    dial_regions: list[str] | None = None
    dial_types: list[str] | None = None
    extensions: str | None = None
    only_extensions: bool = False
    caller_ids: list[str] = []


class OrganizationCreated(Fact, frozen=True, kw_only=True, tag="organization.created.v1"):
    """An organisation was created."""

    name: str
    settings: Settings


class SettingsChanged(Fact, frozen=True, kw_only=True, tag="organization.settings_changed.v1"):
    """Settings changed; the fact contains all settings."""

    settings: Settings


class MemberAdded(Fact, frozen=True, kw_only=True, tag="organization.member_added.v1"):
    """A member was added; ``role`` limits the roles of the member's tokens."""

    member_id: str
    role: Role
    personal: PersonName


class MemberRoleChanged(Fact, frozen=True, kw_only=True, tag="organization.member_role_changed.v1"):
    """A member has another role; it limits the member's tokens, also those issued before."""

    member_id: str
    role: Role


class MemberRemoved(Fact, frozen=True, kw_only=True, tag="organization.member_removed.v1"):
    """A member left; the member's tokens and operators were revoked just before."""

    member_id: str


class OperatorAdded(Fact, frozen=True, kw_only=True, tag="organization.operator_added.v1"):
    """A line or a voice bot can file tasks; its key is stored as a SHA-256 hash (hex)."""

    operator_number: int
    key_hash: str
    personal: OperatorDetails
    member_id: str | None = None


class OperatorKeyRenewed(Fact, frozen=True, kw_only=True, tag="organization.operator_key_renewed.v1"):
    """The operator has a new key; the old one is invalid."""

    operator_number: int
    key_hash: str


class OperatorRemoved(Fact, frozen=True, kw_only=True, tag="organization.operator_removed.v1"):
    """The operator can no longer file tasks."""

    operator_number: int


class TokenIssued(Fact, frozen=True, kw_only=True, tag="organization.token_issued.v1"):
    """An access token was issued; its secret is stored as a SHA-256 hash (hex)."""

    token_id: str
    role: Role
    secret_hash: str
    name: str | None = None
    member_id: str | None = None
    expires_at: datetime | None = None


class TokenRevoked(Fact, frozen=True, kw_only=True, tag="organization.token_revoked.v1"):
    """The token was revoked."""

    token_id: str


class WebhookSecretRotated(Fact, frozen=True, kw_only=True, tag="organization.webhook_secret_rotated.v1"):
    """Webhooks are signed with a new secret, and with the old one too for ``overlap`` more seconds."""

    overlap: int


OrganizationFact = (
    OrganizationCreated
    | SettingsChanged
    | MemberAdded
    | MemberRoleChanged
    | MemberRemoved
    | OperatorAdded
    | OperatorKeyRenewed
    | OperatorRemoved
    | TokenIssued
    | TokenRevoked
    | WebhookSecretRotated
)
