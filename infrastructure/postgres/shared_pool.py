"""A pool of connections that organisations share by fair shares (docs/adr/0013-fair-shares.md)."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic

from psycopg import AsyncConnection

from application.fair_share import FairShare
from application.time_budget import current_budget
from infrastructure.postgres.connections import Pool

WAIT_S = 3.0


class SharedPool:
    """Connections for the queries of organisations: none of them takes the last free one from the others."""

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
        async with self.share.place(organization_id, timeout_s=wait_s):
            if budget is not None:
                budget.left -= monotonic() - began
            async with self._pool.connection() as connection:
                yield connection
