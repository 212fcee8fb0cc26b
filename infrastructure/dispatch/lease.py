"""Which worker leads a gateway: one at a time, for as long as it renews its lease."""

import asyncio
import time
from contextlib import suppress
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from infrastructure.dispatch import metrics
from infrastructure.dispatch.gateway_state import Standing, write_standing
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement

LEASE_S = 2.0
RENEW_S = 0.5

_MAKE = statement("INSERT INTO {schema}.gateway_leases (gateway) VALUES (%s) ON CONFLICT DO NOTHING")
_FREE = statement(
    "SELECT FROM {schema}.gateway_leases WHERE gateway = %s AND (until < clock_timestamp() OR holder = %s)"
)
# FOR UPDATE waits until what the leader before is committing is committed. A renewal, an update of no key, waits for nobody.
_TAKE = statement(
    "WITH free AS (SELECT gateway FROM {schema}.gateway_leases"
    " WHERE gateway = %s AND (until < clock_timestamp() OR holder = %s) FOR UPDATE)"
    " UPDATE {schema}.gateway_leases AS l SET holder = %s, fence = l.fence + 1, link_up = false,"
    " link_since = CASE WHEN l.link_up THEN now() ELSE l.link_since END,"
    f" until = clock_timestamp() + interval '{LEASE_S} s'"
    " FROM free WHERE l.gateway = free.gateway RETURNING l.fence"
)
_RENEW = statement(
    f"UPDATE {{schema}}.gateway_leases SET until = clock_timestamp() + interval '{LEASE_S} s'"
    " WHERE gateway = %s AND fence = %s RETURNING fence"
)
_RELEASE = statement(
    "UPDATE {schema}.gateway_leases SET until = '-infinity', link_up = false, link_since = now()"
    " WHERE gateway = %s AND fence = %s"
)
_LINK = statement(
    "UPDATE {schema}.gateway_leases SET link_up = %s, link_since = now() WHERE gateway = %s AND fence = %s"
)
# A row lock that no takeover passes: whoever leads next sees all that this transaction does.
_CHECK = statement("SELECT FROM {schema}.gateway_leases WHERE gateway = %s AND fence = %s FOR KEY SHARE")


class Fenced(Exception):
    """Another worker leads the gateway by now, or the lease ran out."""


class Lease:
    """The right to talk to a switch, and to record what it tells.

    In the database the fence decides, and a transaction of the leader holds it. The switch knows no fence: before each
    word to it, this worker's own monotonic clock must say that the lease still holds.
    """

    def __init__(self, pool: Pool, gateway: str) -> None:
        """Lead ``gateway`` when it can be had."""
        self.gateway = gateway
        self.holder = uuid4()
        self.fence = 0
        self._pool = pool
        self._until = 0.0

    @property
    def holds(self) -> bool:
        """Whether nobody else can lead at this moment."""
        return time.monotonic() < self._until

    async def take(self) -> bool:
        """Lead, if nobody else does; answer whether this worker leads. Raises StorageUnavailable."""
        began = time.monotonic()
        async with self._pool.connection() as connection:
            await connection.execute(_MAKE, (self.gateway,))
            # Asked first: who takes the row waits for the transactions of a leader at work.
            if await (await connection.execute(_FREE, (self.gateway, self.holder))).fetchone() is None:
                return False
            taken = await connection.execute(_TAKE, (self.gateway, self.holder, self.holder))
            row = await taken.fetchone()
        if row is None:
            return False
        (self.fence,), self._until = row, began + LEASE_S
        return True

    async def keep(self) -> None:
        """Renew until cancelled. Raises Fenced when the lease is lost, or runs out while Postgres is away."""
        while True:
            await asyncio.sleep(RENEW_S)
            await self._renew()

    async def check(self, connection: AsyncConnection) -> None:
        """Hold the lease until the connection's transaction ends. Raises Fenced."""
        if await (await connection.execute(_CHECK, (self.gateway, self.fence))).fetchone() is None:
            metrics.FENCED.labels("transaction").inc()
            raise Fenced(self.gateway)

    def may_speak(self) -> bool:
        """Answer whether a word may be sent to the switch; a refusal is counted."""
        if not self.holds:
            metrics.FENCED.labels("switch").inc()
        return self.holds

    async def show_link(self, *, up: bool) -> None:
        """Note whether the switch can be reached: the queue board tells why nothing starts. Raises StorageUnavailable."""
        metrics.LINK_UP.labels(self.gateway).set(up)
        async with self._pool.connection() as connection:
            await connection.execute(_LINK, (up, self.gateway, self.fence))

    async def show_standing(self, standing: Standing) -> None:
        """Note how the gateway stands, for the queue board and the leader that follows. Raises StorageUnavailable."""
        async with self._pool.connection() as connection:
            await write_standing(connection, standing, self.gateway, self.fence)

    async def release(self) -> None:
        """Let another lead at once; without Postgres the lease runs out by itself."""
        self._until = 0.0
        with suppress(StorageUnavailable, psycopg.Error):
            async with self._pool.connection() as connection:
                await connection.execute(_RELEASE, (self.gateway, self.fence))

    async def _renew(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, self._until - began)), self._pool.connection() as connection:
                row = await (await connection.execute(_RENEW, (self.gateway, self.fence))).fetchone()
        except StorageUnavailable:
            if self.holds:
                return
            raise
        except TimeoutError:
            row = None
        if row is None:
            metrics.FENCED.labels("renewal").inc()
            raise Fenced(self.gateway)
        self._until = began + LEASE_S
