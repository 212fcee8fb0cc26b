"""The Organization aggregate: members, operators, tokens and settings."""

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

import msgspec
from msgspec.structs import replace

from domain.errors import InvalidField, RoleTooHigh, UnknownMember, UnknownOperator, UnknownToken
from domain.limits import SECRET_OVERLAP_MAX_S
from domain.model import Recorded, fold
from domain.organization.events import (
    MemberAdded,
    OperatorAdded,
    OperatorDetails,
    OperatorKeyRenewed,
    OperatorRemoved,
    OrganizationCreated,
    OrganizationFact,
    PersonName,
    Settings,
    SettingsChanged,
    TokenIssued,
    TokenRevoked,
    WebhookSecretRotated,
)
from domain.permissions import Role
from domain.streams import aggregate_number


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an organisation after its facts up to ``version``."""

    id: int
    version: int
    name: str
    settings: Settings
    created_at: datetime
    members: dict[str, Role] = {}
    operators: frozenset[int] = frozenset()
    tokens: frozenset[str] = frozenset()
    next_operator: int = 1

    def change_settings(self, settings: Settings) -> list[OrganizationFact]:
        """Change the settings; the current settings again record nothing."""
        return [] if settings == self.settings else [SettingsChanged(settings=settings)]

    def add_member(self, member_id: str, name: str, role: Role) -> list[OrganizationFact]:
        """Add a member; ``role`` limits the roles of the member's tokens."""
        return [MemberAdded(member_id=member_id, role=role, personal=PersonName(subject=member_id, name=name))]

    def add_operator(
        self, key_hash: str, name: str, *, number: str | None = None, member_id: str | None = None
    ) -> list[OrganizationFact]:
        """Add an operator, a line or voice bot that files tasks, for ``member_id`` if given.

        Raises UnknownMember if the organisation has no such member.
        """
        self._require_member(member_id)
        subject = member_id or f"operator/{self.id}/{self.next_operator}"
        details = OperatorDetails(subject=subject, name=name, number=number)
        return [
            OperatorAdded(operator_number=self.next_operator, key_hash=key_hash, member_id=member_id, personal=details)
        ]

    def renew_operator_key(self, operator_number: int, key_hash: str) -> list[OrganizationFact]:
        """Replace the key of an operator. Raises UnknownOperator."""
        self._require_operator(operator_number)
        return [OperatorKeyRenewed(operator_number=operator_number, key_hash=key_hash)]

    def remove_operator(self, operator_number: int) -> list[OrganizationFact]:
        """Remove an operator. Raises UnknownOperator."""
        self._require_operator(operator_number)
        return [OperatorRemoved(operator_number=operator_number)]

    def issue_token(
        self,
        token_id: str,
        secret_hash: str,
        role: Role,
        *,
        member_id: str | None = None,
        name: str | None = None,
        expires_at: datetime | None = None,
    ) -> list[OrganizationFact]:
        """Issue a token; one without a member is a service token.

        Raises UnknownMember, and RoleTooHigh if the role has a permission that the member's role does not have.
        """
        self._require_member(member_id)
        if member_id is not None and not role.within(self.members[member_id]):
            raise RoleTooHigh(
                "role",
                f"The member's role is {self.members[member_id]}; the token's role must not have more permissions",
            )
        return [
            TokenIssued(
                token_id=token_id,
                role=role,
                secret_hash=secret_hash,
                name=name,
                member_id=member_id,
                expires_at=expires_at,
            )
        ]

    def revoke_token(self, token_id: str) -> list[OrganizationFact]:
        """Revoke a token. Raises UnknownToken."""
        if token_id not in self.tokens:
            raise UnknownToken(f"No token {token_id} in this organisation")
        return [TokenRevoked(token_id=token_id)]

    def rotate_webhook_secret(self, overlap: int) -> list[OrganizationFact]:
        """Replace the secret of webhooks; the old one signs too for ``overlap`` more seconds. Raises InvalidField."""
        if not 0 <= overlap <= SECRET_OVERLAP_MAX_S:
            raise InvalidField("overlap_s", f"Expected 0 to {SECRET_OVERLAP_MAX_S} seconds", "out_of_range")
        return [WebhookSecretRotated(overlap=overlap)]

    def _require_member(self, member_id: str | None) -> None:
        if member_id is not None and member_id not in self.members:
            raise UnknownMember("member_id", "No such member in this organisation")

    def _require_operator(self, operator_number: int) -> None:
        if operator_number not in self.operators:
            raise UnknownOperator(f"No operator {operator_number} in this organisation")


FORMAT = 1
"""Number of this fold in snapshots: raise it when ``evolve`` or the fields of the state change (docs/adr/0019-snapshots.md)."""


def evolve(organization: Organization | None, event: Recorded[OrganizationFact]) -> Organization:
    """Return the organisation after one more recorded fact; the first fact creates it."""
    fact = event.fact
    if isinstance(fact, OrganizationCreated):
        return Organization(
            id=aggregate_number(event.stream),
            version=event.version,
            name=fact.name,
            settings=fact.settings,
            created_at=event.recorded_at,
        )
    if organization is None:
        msg = f"{event.stream} begins with {type(fact).__name__}"
        raise ValueError(msg)
    was = replace(organization, version=event.version)
    match fact:
        case SettingsChanged(settings=settings):
            return replace(was, settings=settings)
        case MemberAdded(member_id=member_id, role=role):
            return replace(was, members={**was.members, member_id: role})
        case OperatorAdded(operator_number=number):
            return replace(was, operators=was.operators | {number}, next_operator=number + 1)
        case OperatorKeyRenewed():
            return was
        case OperatorRemoved(operator_number=number):
            return replace(was, operators=was.operators - {number})
        case TokenIssued(token_id=token_id):
            return replace(was, tokens=was.tokens | {token_id})
        case TokenRevoked(token_id=token_id):
            return replace(was, tokens=was.tokens - {token_id})
        case WebhookSecretRotated():
            return was
        case _:
            assert_never(fact)


def replay(events: Iterable[Recorded[OrganizationFact]]) -> Organization | None:
    """Return the organisation after all events of its stream, oldest first; None for an empty stream."""
    return fold(evolve, events)
