"""Callers and their requests. An operator at the open intake has no token, so its requests have no caller."""

import msgspec

from domain.model import Envelope
from domain.permissions import Permission, Role


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The holder of a valid token."""

    organization_id: int
    token_id: str
    role: Role
    member_id: str | None = None
    member_role: Role | None = None

    @property
    def actor(self) -> str:
        """The actor that is recorded with the facts of this caller."""
        return f"member/{self.member_id}" if self.member_id else f"token/{self.token_id}"

    @property
    def scope(self) -> str:
        """The owner of this caller's idempotency keys."""
        return f"token/{self.token_id}"

    def may(self, permission: Permission) -> bool:
        """Return whether the token's role has the permission, and its member's role, if it belongs to a member, has it too."""
        return permission in self.role.permissions and (
            self.member_role is None or permission in self.member_role.permissions
        )


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an HTTP request or command that use cases need.

    ``fingerprint`` identifies the request's content, to detect another request with the same idempotency key.
    """

    request_id: str
    caller: Caller | None = None
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    if_match: int | None = None

    @property
    def token_holder(self) -> Caller:
        """The caller. Raises LookupError when the request has no token."""
        if self.caller is None:
            raise LookupError("This use case requires a token")
        return self.caller

    @property
    def actor(self) -> str:
        """The actor of the facts that this request causes: the caller, or the command line."""
        return self.caller.actor if self.caller else "cli"

    def envelope(self, organization_id: int, actor: str, reason: str | None = None) -> Envelope:
        """Return the envelope of the facts that this request causes."""
        return Envelope(
            organization_id=organization_id,
            actor=actor,
            reason=reason,
            causation=self.request_id,
            correlation=self.request_id,
        )
