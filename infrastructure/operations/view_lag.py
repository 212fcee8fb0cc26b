"""Positions and lag of views, and waits for a view to catch up."""

import asyncio
from collections.abc import Sequence
from contextvars import Context

import msgspec
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from application.queries.view_lag import Lag
from application.time_budget import within_budget
from infrastructure.operations.subscribers import HANDLERS
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import READERS
from infrastructure.postgres.sql import statement
from infrastructure.subscriptions import checkpoints

_POLL_S = 0.005

_POSITIONS = statement("SELECT name, position FROM {schema}.checkpoints")
_NOTIFY_READER = f"NOTIFY {READERS}".encode()
_LAGS = statement("""
    SELECT
        v.name,
        coalesce(c.position, 0),
        greatest(coalesce(head.position, 0) - coalesce(c.position, 0), 0),
        greatest(coalesce(extract(epoch FROM clock_timestamp() - oldest.recorded_at), 0), 0)::float8,
        (SELECT count(*) FROM {schema}.parked_streams AS p WHERE p.name = v.name)
    FROM unnest(%s::text[]) AS v (name)
    LEFT JOIN {schema}.checkpoints AS c ON c.name = v.name
    LEFT JOIN LATERAL (
        SELECT notification_id AS position FROM {log} ORDER BY 1 DESC LIMIT 1
    ) AS head ON true
    LEFT JOIN LATERAL (
        SELECT recorded_at
        FROM {log}
        WHERE notification_id > coalesce(c.position, 0)
        ORDER BY notification_id
        LIMIT 1
    ) AS oldest ON true
    ORDER BY v.name
""")


class _Waiter(msgspec.Struct, eq=False):
    """A reader that waits until a view has reached a position."""

    name: str
    position: int
    arrived: asyncio.Future[None]


async def read_lags(connection: AsyncConnection) -> Sequence[Lag]:
    """Return the lags of all views and policies, ordered by name."""
    cursor = await connection.execute(_LAGS, (sorted(HANDLERS),))
    return [
        Lag(name=name, position=position, events=events, seconds=seconds, parked=parked)
        for name, position, events, seconds, parked in await cursor.fetchall()
    ]


class PostgresViewLag:
    """The port ``ViewLag`` on Postgres."""

    def __init__(self, reading: Pool) -> None:
        """Read over ``reading``."""
        self._reading = reading
        self._waiters: set[_Waiter] = set()
        self._poll: asyncio.Task[None] | None = None
        self._has_new_waiter = False  # since the last notification of readers

    async def position(self, name: str) -> int:
        """See the port."""
        async with self._reading.connection() as connection:
            return await checkpoints.read(connection, name)

    async def wait_for(self, name: str, position: int, timeout_s: float) -> bool:
        """See the port. One query serves all waiting readers of this process; without a waiting reader there are no queries."""
        waiter = _Waiter(name, position, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        self._has_new_waiter = True
        if self._poll is None:
            self._poll = asyncio.create_task(self._poll_while_readers_wait(), context=Context())
        try:
            async with asyncio.timeout(timeout_s):
                await within_budget(waiter.arrived)
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True

    async def lags(self) -> Sequence[Lag]:
        """See the port."""
        async with self._reading.connection() as connection:
            return await read_lags(connection)

    async def _poll_while_readers_wait(self) -> None:
        try:
            while self._waiters:
                await self._check()
                await asyncio.sleep(_POLL_S if self._waiters else 0)
        finally:
            self._poll = None

    async def _check(self) -> None:
        try:
            async with self._reading.connection() as connection:
                reached = dict[str, int](await (await connection.execute(_POSITIONS)).fetchall())
                if self._has_new_waiter and any(
                    reached.get(waiter.name, 0) < waiter.position for waiter in self._waiters
                ):
                    self._has_new_waiter = False
                    await connection.execute(_NOTIFY_READER)
        except StorageUnavailable as error:
            for waiter in self._waiters:
                if not waiter.arrived.done():
                    waiter.arrived.set_exception(error)
            self._waiters.clear()
            return
        for waiter in list(self._waiters):
            if reached.get(waiter.name, 0) >= waiter.position:
                self._waiters.discard(waiter)
                if not waiter.arrived.done():
                    waiter.arrived.set_result(None)
