"""What all parts of the leading dispatcher share."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID, uuid5

import structlog
from psycopg import AsyncConnection

from application.ports.call_gateway import CallGateway, CallOver, Progressed
from domain.streams import callback_stream
from infrastructure.dispatch import metrics
from infrastructure.dispatch.lease import Lease
from infrastructure.dispatch.open_calls import KnownCalls
from infrastructure.dispatch.pacing import Pacing
from infrastructure.event_log.identity import LogIdentity
from infrastructure.event_log.reader import END
from infrastructure.postgres.connections import Pool

_logger = structlog.get_logger(__name__)


class Term:
    """One time of leadership, from taking the lease until it is given back or anything fails.

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
        """``due`` is set when something may be startable, ``hang_up`` when a call may be no longer wanted."""
        self.lease = lease
        self.pool = pool
        self.gateway = gateway
        self.due = due
        self.hang_up = hang_up
        self.doubt = asyncio.Event()  # set when the switch must be asked about the open calls
        self.calls = KnownCalls()
        self.pacing = pacing
        self.link_is_up = False
        self.changed = asyncio.Event()  # set when the link or the breaker may have changed, and cleared at once
        self._log_id = identity.at(END)

    def call_id(self, callback_id: int, attempt: int) -> str:
        """Answer the id of an attempt's call: the same wherever it is computed, and no other log's (design.md §5)."""
        return call_id(self._log_id, callback_id, attempt)

    def stir(self) -> None:
        """Have all look again whether a call may start, or be dialled."""
        self.due.set()
        self.changed.set()
        self.changed.clear()

    def weigh(self, news: Progressed | CallOver, *, is_found: bool = False) -> None:
        """Let the breaker know what the switch tells, as it comes, or what was found out by asking."""
        breaker = self.pacing.breaker
        if breaker.found(news) if is_found else breaker.hear(news):
            self.show_breaker()
            self.stir()

    def show_breaker(self) -> None:
        """Tell operators how the breaker stands."""
        breaker, gateway = self.pacing.breaker, self.lease.gateway
        metrics.BREAKER_OPEN.labels(gateway).set(not breaker.is_closed)
        if breaker.is_closed:
            _logger.info("calls may start", gateway=gateway)
        else:
            wait_s = round(max(0.0, breaker.paused_s or 0.0), 1)
            _logger.warning("no call but a probe starts", gateway=gateway, pauses=breaker.pauses, in_s=wait_s)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Lend a connection in a transaction that only the leader can commit. Raises Fenced, StorageUnavailable.

        Statements whose answers nobody fetches share the round trip of the next one.
        """
        async with self.pool.connection() as connection, connection.pipeline(), connection.transaction():
            await self.lease.check(connection)
            yield connection


def call_id(log_id: UUID, callback_id: int, attempt: int) -> str:
    """Answer the id of an attempt's call under the log's id."""
    return str(uuid5(log_id, f"{callback_stream(callback_id)}#{attempt}"))
