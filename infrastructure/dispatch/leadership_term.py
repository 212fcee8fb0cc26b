"""A term of leadership: what all loops of the leading dispatcher share."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID, uuid5

import structlog
from psycopg import AsyncConnection

from application.ports.call_gateway import CallGateway, CallOver, CallProgressed
from domain.streams import callback_stream
from infrastructure.dispatch import metrics
from infrastructure.dispatch.lease import Lease
from infrastructure.dispatch.open_calls import OpenCallCache
from infrastructure.dispatch.pacing import Pacing
from infrastructure.event_log.identity import LogIdentity
from infrastructure.event_log.reader import END
from infrastructure.postgres.connections import Pool

_logger = structlog.get_logger(__name__)


class LeadershipTerm:
    """One term of leadership, from acquiring the lease until it is released or anything fails.

    Nothing in memory outlives a term: the next one finds what it needs in Postgres and in the switch.
    """

    def __init__(
        self,
        lease: Lease,
        pool: Pool,
        gateway: CallGateway,
        identity: LogIdentity,
        pacing: Pacing,
        *,
        due: asyncio.Event,
        hang_up: asyncio.Event,
    ) -> None:
        """Start a term. ``due`` is set when a callback may have become startable, ``hang_up`` when a call's callback may be deleted."""
        self.lease = lease
        self.pool = pool
        self.gateway = gateway
        self.due = due
        self.hang_up = hang_up
        self.reconcile_now = asyncio.Event()  # set when the open calls must be compared with the switch
        self.open_calls = OpenCallCache()
        self.pacing = pacing
        self.link_is_up = False
        self.changed = asyncio.Event()  # set when the link or the breaker may have changed, and cleared at once
        self._log_id = identity.at(END)

    def call_id(self, callback_id: int, attempt: int) -> str:
        """Return the id of an attempt's call: the same wherever it is computed, and different in every other log."""
        return call_id(self._log_id, callback_id, attempt)

    def notify_changed(self) -> None:
        """Wake all loops, to check again whether a call may start or be dialled."""
        self.due.set()
        self.changed.set()
        self.changed.clear()

    def update_breaker(self, event: CallProgressed | CallOver, *, is_found: bool = False) -> None:
        """Pass an event of the switch to the breaker; ``is_found``: a query found it, after the fact."""
        breaker = self.pacing.breaker
        if breaker.observe_found(event) if is_found else breaker.observe(event):
            self.report_breaker()
            self.notify_changed()

    def report_breaker(self) -> None:
        """Report the breaker's state to operators, as a metric and in the log."""
        breaker, gateway = self.pacing.breaker, self.lease.gateway
        metrics.BREAKER_OPEN.labels(gateway).set(not breaker.is_closed)
        if breaker.is_closed:
            _logger.info("breaker closed", gateway=gateway)
        else:
            probe_in_s = round(max(0.0, breaker.paused_s or 0.0), 1)
            _logger.warning("breaker open", gateway=gateway, pauses=breaker.pauses, probe_in_s=probe_in_s)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection in a transaction that only the leader can commit. Raises Fenced, StorageUnavailable.

        Statements whose results are not fetched share the round trip of the next one.
        """
        async with self.pool.connection() as connection, connection.pipeline(), connection.transaction():
            await self.lease.check(connection)
            yield connection


def call_id(log_id: UUID, callback_id: int, attempt: int) -> str:
    """Return the id of an attempt's call: a UUIDv5 in the namespace of the log's id."""
    return str(uuid5(log_id, f"{callback_stream(callback_id)}#{attempt}"))
