"""Readiness: the state of the database that decides if a process can serve requests."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from application.queries.view_lag import Lag


class DatabaseState(msgspec.Struct, frozen=True, kw_only=True):
    """The lag of each view and policy, and whether the database refuses changes, as a standby does."""

    lags: Sequence[Lag]
    is_read_only: bool


class Readiness(Protocol):
    """The check behind ``/health/ready``."""

    async def check(self) -> DatabaseState:
        """Return the state of the database. Raises StorageUnavailable within a second when it does not respond."""
        ...
