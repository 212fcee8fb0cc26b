"""The lease of a gateway, with a fencing token: one worker at a time leads, for as long as it renews the lease."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from infrastructure.dispatch import metrics
from infrastructure.dispatch.gateway_state import GatewayState, write_gateway_state
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement

LEASE_S = 2.0
RENEW_S = 0.5
_ANSWER_S = 5.0

_MAKE = statement("INSERT INTO {schema}.gateway_leases (gateway) VALUES (%s) ON CONFLICT DO NOTHING")
_FREE = statement("""
    SELECT
    FROM {schema}.gateway_leases
    WHERE gateway = %s AND (until < clock_timestamp() OR holder = %s)
""")
# FOR UPDATE waits until what the previous leader is committing is committed. A renewal does not
# wait: it updates no key.
_ACQUIRE = statement(f"""
    WITH free AS (
        SELECT gateway
        FROM {{schema}}.gateway_leases
        WHERE gateway = %s AND (until < clock_timestamp() OR holder = %s)
        FOR UPDATE
    )
    UPDATE {{schema}}.gateway_leases AS l
    SET holder = %s,
        fence = l.fence + 1,
        link_up = false,
        link_since = CASE WHEN l.link_up THEN now() ELSE l.link_since END,
        until = clock_timestamp() + interval '{LEASE_S} s'
    FROM free
    WHERE l.gateway = free.gateway
    RETURNING l.fence
""")
_RENEW = statement(f"""
    UPDATE {{schema}}.gateway_leases
    SET until = clock_timestamp() + interval '{LEASE_S} s', full_for = %s
    WHERE gateway = %s AND fence = %s
    RETURNING fence
""")
_RELEASE = statement("""
    UPDATE {schema}.gateway_leases
    SET until = '-infinity', link_up = false, link_since = now()
    WHERE gateway = %s AND fence = %s
""")
_SAVE_LINK = statement("""
    UPDATE {schema}.gateway_leases
    SET link_up = %s, link_since = now()
    WHERE gateway = %s AND fence = %s
""")
# A row lock that no takeover passes: the next leader sees everything that this transaction does.
_CHECK = statement("SELECT FROM {schema}.gateway_leases WHERE gateway = %s AND fence = %s FOR KEY SHARE")


class Fenced(Exception):
    """Another worker leads the gateway by now, or the lease expired."""


class Lease:
    """The right to command a switch and to record its events.

    In the database the fencing token decides, and a transaction of the leader locks it. The switch knows no token: before
    each command, this worker's own monotonic clock must say that the lease is still held.
    """

    def __init__(self, pool: Pool, gateway: str) -> None:
        """Prepare to acquire the lease of ``gateway``."""
        self.gateway = gateway
        self.holder = uuid4()
        self.fence = 0
        self._pool = pool
        self._until = 0.0

    @property
    def is_held(self) -> bool:
        """Return whether no other worker can lead now."""
        return time.monotonic() < self._until

    async def acquire(self) -> bool:
        """Acquire the lease if it is free; return whether this worker leads. Raises StorageUnavailable."""
        began = time.monotonic()
        async with self._pool.connection(within_s=_ANSWER_S) as connection:
            await connection.execute(_MAKE, (self.gateway,))
            # Checked first: locking the row would wait for the transactions of an active leader.
            if await (await connection.execute(_FREE, (self.gateway, self.holder))).fetchone() is None:
                return False
            acquired = await connection.execute(_ACQUIRE, (self.gateway, self.holder, self.holder))
            row = await acquired.fetchone()
        if row is None:
            return False
        (self.fence,), self._until = row, began + LEASE_S
        return True

    async def keep(self, full_for: Callable[[], list[int]] = list) -> None:
        """Renew until cancelled. Raises Fenced when the lease is lost, or expires while Postgres is unavailable.

        Each renewal stores which organisations the switch is ``full_for``, for the queue board.
        """
        while True:
            await asyncio.sleep(RENEW_S)
            await self._renew(full_for())

    async def check(self, connection: AsyncConnection) -> None:
        """Lock the lease until the connection's transaction ends. Raises Fenced."""
        if await (await connection.execute(_CHECK, (self.gateway, self.fence))).fetchone() is None:
            metrics.FENCED.labels("transaction").inc()
            raise Fenced(self.gateway)

    def permits_command(self) -> bool:
        """Return whether a command may be sent to the switch; count a refusal."""
        if not self.is_held:
            metrics.FENCED.labels("switch").inc()
        return self.is_held

    async def save_link(self, *, up: bool) -> None:
        """Store whether the switch is reachable, for the queue board to say why nothing starts. Raises StorageUnavailable."""
        metrics.LINK_UP.labels(self.gateway).set(up)
        async with self._pool.connection() as connection:
            await connection.execute(_SAVE_LINK, (up, self.gateway, self.fence))

    async def save_gateway_state(self, state: GatewayState) -> None:
        """Store the gateway's state, for the queue board and the next leader. Raises StorageUnavailable."""
        async with self._pool.connection() as connection:
            await write_gateway_state(connection, state, self.gateway, self.fence)

    async def release(self) -> None:
        """Release the lease, so that another worker leads at once; without Postgres it expires by itself."""
        self._until = 0.0
        with suppress(StorageUnavailable, psycopg.Error):
            async with self._pool.connection(within_s=_ANSWER_S) as connection:
                await connection.execute(_RELEASE, (self.gateway, self.fence))

    async def _renew(self, full_for: list[int]) -> None:
        began = time.monotonic()
        try:
            async with self._pool.connection(within_s=max(0.0, self._until - began)) as connection:
                row = await (await connection.execute(_RENEW, (full_for, self.gateway, self.fence))).fetchone()
        except StorageUnavailable:
            if self.is_held:
                return
            row = None
        if row is None:
            metrics.FENCED.labels("renewal").inc()
            raise Fenced(self.gateway)
        self._until = began + LEASE_S
