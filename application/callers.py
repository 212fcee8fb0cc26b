"""Who asks: the holder of a token, or an operator at the open intake."""

import msgspec

from domain.model import Envelope
from domain.values import Permission, Role


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The holder of a valid token."""

    organization_id: int
    token_id: str
    role: Role
    member_id: str | None = None

    @property
    def actor(self) -> str:
        """Who is on record for what this caller does."""
        return f"member/{self.member_id}" if self.member_id else f"token/{self.token_id}"

    @property
    def scope(self) -> str:
        """The owner of this caller's idempotency keys."""
        return f"token/{self.token_id}"

    def may(self, permission: Permission) -> bool:
        """Whether the caller's role allows it."""
        return permission in self.role.permissions


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a use case needs to know of the request that asks for it."""

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
        """Answer the envelope of the facts that this request causes."""
        return Envelope(
            organization_id=organization_id,
            actor=actor,
            reason=reason,
            causation=self.request_id,
            correlation=self.request_id,
        )
