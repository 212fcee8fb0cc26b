"""Positions of the views in the log, and how far each one lags behind it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """The lag of a view or policy behind the log: in events, and in seconds since the oldest of them was recorded.

    ``parked`` counts the streams whose events wait for ``perezvon retry-parked``.
    """

    name: str
    position: int
    events: int
    seconds: float
    parked: int


class ViewLag(Protocol):
    """The positions and lags of views and policies."""

    async def position(self, name: str) -> int:
        """Return the log position of the view; 0 if it has not begun. Raises StorageUnavailable."""
        ...

    async def wait_for(self, name: str, position: int, timeout_s: float) -> bool:
        """Wait for the view and return whether it reached the position within ``timeout_s`` seconds. Raises StorageUnavailable."""
        ...

    async def lags(self) -> Sequence[Lag]:
        """Return the lags of all views and policies, ordered by name. Raises StorageUnavailable."""
        ...
