"""The state of the database for ``/health/ready``, which needs no token: looked up at most once a second."""

import asyncio
from collections.abc import Callable
from time import monotonic

from application.queries.readiness import DatabaseState, Readiness

_MAX_AGE_S = 1.0


class RecentState:
    """The state of the database, at most a second old. Requests that come during a look-up share it."""

    def __init__(self, readiness: Readiness, clock: Callable[[], float] = monotonic) -> None:
        """Look up in ``readiness``. ``clock`` returns seconds."""
        self._readiness = readiness
        self._clock = clock
        self._lookup: asyncio.Task[DatabaseState] | None = None
        self._began_at = 0.0

    async def get(self) -> DatabaseState:
        """Return the state. Raises StorageUnavailable, for a second without another look-up."""
        if self._lookup is None or (self._lookup.done() and self._clock() - self._began_at >= _MAX_AGE_S):
            self._began_at = self._clock()
            self._lookup = asyncio.create_task(self._check())
        return await asyncio.shield(self._lookup)

    async def _check(self) -> DatabaseState:
        return await self._readiness.check()
