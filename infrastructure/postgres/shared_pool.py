"""A pool of connections that organisations share by fair shares (docs/adr/0013-fair-shares.md)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic

from psycopg import AsyncConnection

from application.fair_share import FairShare
from application.time_budget import current_budget
from infrastructure.postgres.connections import Pool

WAIT_S = 3.0

_REST_FACTOR = 4
_REST_MAX_S = 1.0
_NEIGHBOUR_S = 1.0


class SharedPool:
    """Connections for the queries of organisations: none of them takes the last free one from the others.

    An organisation that returns a place while it waits for another one gets it only after a rest: four times as long as it
    used it, at most a second. It rests only if another organisation was active within the last second. So an organisation
    that always wants more than its share uses its places for a fifth of the time, and for all of it while it is alone.
    """

    _last_owner: int | None = None
    _owner_changed_at = -_NEIGHBOUR_S

    def __init__(self, pool: Pool, *, size: int, resource: str) -> None:
        """Share the ``size`` connections of ``pool``; ``resource`` is their name in metrics."""
        self._pool = pool
        self.share = FairShare(resource, size)

    @asynccontextmanager
    async def connection(self, organization_id: int | None) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection for a query of the organisation; None stands for commands on this machine.

        Raises ShareExhausted when none is free for it within three seconds, and StorageUnavailable as the pool does.
        """
        budget, began = current_budget(), monotonic()
        wait_s = WAIT_S if budget is None else max(0.0, min(WAIT_S, budget.left))
        await self.share.acquire(organization_id, timeout_s=wait_s)
        taken = monotonic()
        if budget is not None:
            budget.left -= taken - began
        if SharedPool._last_owner != organization_id:
            SharedPool._last_owner, SharedPool._owner_changed_at = organization_id, taken
        try:
            async with self._pool.connection() as connection:
                yield connection
        finally:
            self._release(organization_id, taken)

    def _release(self, organization_id: int | None, taken: float) -> None:
        now = monotonic()
        if self.share.is_waiting(organization_id) and now - SharedPool._owner_changed_at < _NEIGHBOUR_S:
            rest = min(_REST_FACTOR * (now - taken), _REST_MAX_S)
            asyncio.get_running_loop().call_later(rest, self.share.release, organization_id)
        else:
            self.share.release(organization_id)
