"""The lag of the views for ``/health/ready``, which needs no token: looked up at most once a second."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic

from application.queries.view_lag import Lag, ViewLag

_MAX_AGE_S = 1.0


class RecentLags:
    """The lag of each view, at most a second old. Requests that come during a look-up share it."""

    def __init__(self, views: ViewLag, clock: Callable[[], float] = monotonic) -> None:
        """Look up in ``views``. ``clock`` returns seconds."""
        self._views = views
        self._clock = clock
        self._lookup: asyncio.Task[Sequence[Lag]] | None = None
        self._began_at = 0.0

    async def get(self) -> Sequence[Lag]:
        """Return the lags. Raises StorageUnavailable, for a second without another look-up."""
        if self._lookup is None or (self._lookup.done() and self._clock() - self._began_at >= _MAX_AGE_S):
            self._began_at = self._clock()
            self._lookup = asyncio.create_task(self._lags())
        return await asyncio.shield(self._lookup)

    async def _lags(self) -> Sequence[Lag]:
        return await self._views.lags()
