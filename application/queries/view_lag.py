"""Positions of the views in the log, and how far each one lags behind it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far a view or policy is behind the log: in events, and in seconds since the oldest of them was recorded.

    ``parked`` counts the streams whose events wait for ``perezvon retry-parked``.
    """

    name: str
    position: int
    events: int
    seconds: float
    parked: int


class ViewLag(Protocol):
    """How far the views have come."""

    async def position(self, name: str) -> int:
        """Answer the log position that the view has reached; 0 for one that has not begun. Raises StorageUnavailable."""
        ...

    async def wait_for(self, name: str, position: int, timeout_s: float) -> bool:
        """Answer whether the view reached the log position within so many seconds. Raises StorageUnavailable."""
        ...

    async def lags(self) -> Sequence[Lag]:
        """Answer each view's lag, by name. Raises StorageUnavailable."""
        ...
