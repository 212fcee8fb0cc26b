"""Read model of the audit trail: every event, with who caused it and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec


class AuditTrailRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the log: what happened to which stream, when, who caused it and why."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: datetime
    organization_id: int | None
    actor: str | None
    reason: str | None
    causation: str | None
    correlation: str | None


class AuditTrailFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter of events, recorded at ``since`` or later and before ``until``; None matches all."""

    stream: str | None = None
    actor: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditTrailPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events in the order of the log, and the log position that the view has reached."""

    items: Sequence[AuditTrailRow]
    position: int


class AuditTrail(Protocol):
    """The audit trail: the events of organisations, with their actors and reasons."""

    async def page(self, organization_id: int, matching: AuditTrailFilter, *, after: int, limit: int) -> AuditTrailPage:
        """Return at most ``limit`` (1 to 1,000) events of the organisation after a log position. Raises StorageUnavailable."""
        ...
