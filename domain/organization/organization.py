"""The Organization aggregate: members, operators, tokens and settings."""

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never, cast

import msgspec
from msgspec.structs import replace

from domain.errors import InvalidField, MemberNotFound, RoleTooHigh, UnknownMember, UnknownOperator, UnknownToken
from domain.limits import SECRET_OVERLAP_MAX_S
from domain.model import Recorded, Snapshot
from domain.organization.events import (
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
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
    """The state of an organisation after its facts up to ``version``.

    ``operators`` and ``tokens`` are those in force, each with the id of its member, None without one.
    """

    id: int
    version: int
    name: str
    settings: Settings
    created_at: datetime
    members: dict[str, Role] = {}
    operators: dict[int, str | None] = {}
    tokens: dict[str, str | None] = {}
    next_operator: int = 1

    def change_settings(self, settings: Settings) -> list[OrganizationFact]:
        """Change the settings; the current settings again record nothing."""
        return [] if settings == self.settings else [SettingsChanged(settings=settings)]

    def add_member(self, member_id: str, name: str, role: Role) -> list[OrganizationFact]:
        """Add a member; ``role`` limits the roles of the member's tokens."""
        return [MemberAdded(member_id=member_id, role=role, personal=PersonName(subject=member_id, name=name))]

    def change_member_role(self, member_id: str, role: Role) -> list[OrganizationFact]:
        """Change the role of a member; the present role again records nothing. Raises MemberNotFound.

        The member's tokens keep their role, but permit only what the member's role permits, too.
        """
        if self._role_of(member_id) == role:
            return []
        return [MemberRoleChanged(member_id=member_id, role=role)]

    def remove_member(self, member_id: str) -> list[OrganizationFact]:
        """Remove a member, with the tokens and the operators of this member. Raises MemberNotFound."""
        self._role_of(member_id)
        return [
            *(TokenRevoked(token_id=token) for token, member in self.tokens.items() if member == member_id),
            *(OperatorRemoved(operator_number=number) for number, of in self.operators.items() if of == member_id),
            MemberRemoved(member_id=member_id),
        ]

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

    def _role_of(self, member_id: str) -> Role:
        if (role := self.members.get(member_id)) is None:
            raise MemberNotFound(f"No member {member_id} in this organisation")
        return role

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
    return _step(organization and _with_own_collections(organization), event)


def replay(events: Iterable[Recorded[OrganizationFact]]) -> Organization | None:
    """Return the organisation after all events of its stream, oldest first; None for an empty stream.

    The cost is linear: the collections are changed in place, because no other code holds them before the end. Those of a
    leading snapshot are copied once.
    """
    organization: Organization | None = None
    for event in events:
        fact = cast("OrganizationFact | Snapshot[Organization]", event.fact)
        organization = _with_own_collections(fact.state) if isinstance(fact, Snapshot) else _step(organization, event)
    return organization


def _with_own_collections(organization: Organization) -> Organization:
    return replace(
        organization,
        members={**organization.members},
        operators={**organization.operators},
        tokens={**organization.tokens},
    )


def _step(organization: Organization | None, event: Recorded[OrganizationFact]) -> Organization:
    """Return the organisation after one more fact; the collections of ``organization`` are changed in place."""
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
        case MemberAdded(member_id=member_id, role=role) | MemberRoleChanged(member_id=member_id, role=role):
            was.members[member_id] = role
        case MemberRemoved(member_id=member_id):
            was.members.pop(member_id, None)
        case OperatorAdded(operator_number=number, member_id=member_id):
            was.operators[number] = member_id
            return replace(was, next_operator=number + 1)
        case OperatorRemoved(operator_number=number):
            was.operators.pop(number, None)
        case TokenIssued(token_id=token_id, member_id=member_id):
            was.tokens[token_id] = member_id
        case TokenRevoked(token_id=token_id):
            was.tokens.pop(token_id, None)
        case OperatorKeyRenewed() | WebhookSecretRotated():
            pass
        case _:
            assert_never(fact)
    return was
