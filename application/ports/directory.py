"""Ports to the access directory and to the streams of organisations, with their rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from application.ports.event_log import Appended
from domain.model import Envelope, Recorded
from domain.organization.events import OrganizationFact, Settings
from domain.permissions import Role


class TokenHolder(msgspec.Struct, frozen=True, kw_only=True):
    """The current state of a token, with its member's role. ``secret_hash`` is the SHA-256 of the secret in hex.

    ``own_limits`` are the limits of its organisation that differ from the deployment's.
    """

    token_id: str
    organization_id: int
    role: Role
    secret_hash: str
    member_id: str | None = None
    member_role: Role | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    own_limits: Mapping[str, int] = {}


class OperatorHolder(msgspec.Struct, frozen=True, kw_only=True):
    """The current state of an operator, with the data of its organisation and member that filing a task needs."""

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
    """The directory of tokens, operators and members. It is always current: a revoked token is rejected at once."""

    async def token(self, token_id: str) -> TokenHolder | None:
        """Return the token with that id, None if there is none."""
        ...

    async def operator(self, key_hash: str) -> OperatorHolder | None:
        """Return the operator whose key has that SHA-256 (hex), None if there is none."""
        ...

    async def member_names(self, ids: Sequence[str]) -> Mapping[str, str]:
        """Return the names of members by id; unknown ids are left out."""
        ...

    async def organization(self, organization_id: int) -> OrganizationRow | None:
        """Return the organisation, None if there is none."""
        ...

    async def organizations(self) -> Sequence[OrganizationRow]:
        """Return all organisations, ordered by id."""
        ...

    async def members(self, organization_id: int) -> Sequence[MemberRow]:
        """Return the organisation's members, ordered by id."""
        ...

    async def operators(self, organization_id: int) -> Sequence[OperatorRow]:
        """Return the organisation's operators, ordered by number."""
        ...

    async def tokens(self, organization_id: int) -> Sequence[TokenRow]:
        """Return the organisation's tokens, with revoked ones, ordered by id."""
        ...

    async def note_use(self, token_ids: Sequence[str]) -> None:
        """Record that these tokens were used just now."""
        ...


class Organizations(Protocol):
    """The streams of organisations. The directory contains the appended facts when ``append`` returns."""

    async def new_id(self) -> int:
        """Return the number of a new organisation, from a sequence."""
        ...

    async def read(self, organization_id: int) -> Sequence[Recorded[OrganizationFact]]:
        """Return the organisation's events, oldest first; none for an unknown organisation."""
        ...

    async def append(
        self, organization_id: int, version: int, facts: Sequence[OrganizationFact], envelope: Envelope
    ) -> Appended:
        """Append the facts and update the directory in one transaction. Raises ConcurrentUpdate."""
        ...

    async def organization_of_token(self, token_id: str) -> int | None:
        """Return the organisation of a token, None for an unknown token."""
        ...
