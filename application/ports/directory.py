"""Ports to the access directory and to the streams of organisations, with their rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from application.ports.event_log import Appended
from domain.model import Envelope, Recorded
from domain.organization.events import OrganizationFact, Settings
from domain.values import Role


class TokenHolder(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it stands now. ``secret_hash`` is the SHA-256 of the secret in hex."""

    token_id: str
    organization_id: int
    role: Role
    secret_hash: str
    member_id: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class OperatorHolder(msgspec.Struct, frozen=True, kw_only=True):
    """An operator as it stands now, with what filing a task needs of its organisation and member."""

    organization_id: int
    number: int
    settings: Settings
    member_id: str | None = None
    member_name: str | None = None


class MemberRow(msgspec.Struct, frozen=True, kw_only=True):
    """A member of an organisation."""

    id: str
    name: str
    role: Role


class OperatorRow(msgspec.Struct, frozen=True, kw_only=True):
    """An operator of an organisation; ``id`` is its number, never its key."""

    id: int
    name: str
    number: str | None
    member_id: str | None


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token of an organisation, without its secret."""

    id: str
    name: str | None
    role: Role
    member_id: str | None
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class OrganizationRow(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation and its settings."""

    id: int
    name: str
    created_at: datetime
    settings: Settings


class Directory(Protocol):
    """Who may come in. Always as of now: a revoked token is refused at once."""

    async def token(self, token_id: str) -> TokenHolder | None:
        """Answer the token of that id."""
        ...

    async def operator(self, key_hash: str) -> OperatorHolder | None:
        """Answer the operator whose key has that SHA-256 (hex)."""
        ...

    async def member_names(self, ids: Sequence[str]) -> Mapping[str, str]:
        """Answer the names of those of the members that exist."""
        ...

    async def organization(self, organization_id: int) -> OrganizationRow | None:
        """Answer the organisation."""
        ...

    async def organizations(self) -> Sequence[OrganizationRow]:
        """Answer all organisations, by id."""
        ...

    async def members(self, organization_id: int) -> Sequence[MemberRow]:
        """Answer the organisation's members, by id."""
        ...

    async def operators(self, organization_id: int) -> Sequence[OperatorRow]:
        """Answer the organisation's operators, by number."""
        ...

    async def tokens(self, organization_id: int) -> Sequence[TokenRow]:
        """Answer the organisation's tokens, revoked ones too, by id."""
        ...

    async def note_use(self, token_ids: Sequence[str]) -> None:
        """Record that these tokens were used just now."""
        ...


class Organizations(Protocol):
    """The streams of organisations; what is appended stands in the directory when it returns."""

    async def new_id(self) -> int:
        """Draw the number of a new organisation."""
        ...

    async def read(self, organization_id: int) -> Sequence[Recorded[OrganizationFact]]:
        """Answer the organisation's facts, oldest first."""
        ...

    async def append(
        self, organization_id: int, version: int, facts: Sequence[OrganizationFact], envelope: Envelope
    ) -> Appended:
        """Record the facts and bring the directory up to date in one transaction. Raises ConcurrentUpdate."""
        ...

    async def organization_of_token(self, token_id: str) -> int | None:
        """Answer whose the token is."""
        ...
