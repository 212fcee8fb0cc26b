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
from infrastructure.dispatch.organization_turns import OrganizationTurns
from infrastructure.dispatch.pacing import Pacing
from infrastructure.dispatch.quarantine import BATCH_MAX
from infrastructure.dispatch.timetable_news import LONG_AGO, parse_news
from infrastructure.event_log.identity import LogIdentity
from infrastructure.event_log.reader import END
from infrastructure.postgres.connections import Pool

SHARED_BATCH_MAX = 100
"""Calls that a transaction starts or records at most while several organisations dial: each waits for the others'."""

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
        self.turns = OrganizationTurns()
        self.read_turns_now = asyncio.Event()  # set when changes of the timetable may have been missed
        self.free_lines = set[int]()  # lines of clients whose calls have ended
        self.undialled = set[str]()
        """Calls that this worker started, or may have started, and that were certainly not sent to the switch."""
        self.link_is_up = False
        self.changed = asyncio.Event()  # set when the link or the breaker may have changed, and cleared at once
        self._log_id = identity.at(END)

    @property
    def batch_max(self) -> int:
        """Return how many calls a transaction starts or records: few where others wait for its end."""
        return SHARED_BATCH_MAX if self.turns.are_shared else BATCH_MAX

    def call_id(self, callback_id: int, attempt: int) -> str:
        """Return the id of an attempt's call: the same wherever it is computed, and different in every other log."""
        return call_id(self._log_id, callback_id, attempt)

    def note_news(self, payload: str) -> None:
        """Note what a notification of the timetable says, or that some were missed."""
        try:
            for organization_id, at in parse_news(payload):
                self.turns.lower(organization_id, at, is_on=at == LONG_AGO)
        except ValueError as error:
            _logger.warning("foreign notification", gateway=self.lease.gateway, payload=payload[:100], error=str(error))
            payload = ""
        if not payload:
            self.read_turns_now.set()

    def may_start(self, organization_id: int) -> bool:
        """Return whether a call of the organisation may start now, beside those of the others."""
        return self.pacing.has_place(organization_id, is_alone=self.turns.is_alone(organization_id))

    def take_place(self, organization_id: int) -> bool:
        """Take the places of a call that is about to be started; return whether there are any for the organisation."""
        return self.pacing.take_place(organization_id, is_alone=self.turns.is_alone(organization_id))

    def full_for(self) -> list[int]:
        """Return the organisations that may take no further channel, though some are free: others may need them."""
        return self.pacing.full_for() if self.turns.are_shared else []

    def notify_changed(self) -> None:
        """Wake all loops, to check again whether a call may start or be dialled."""
        self.due.set()
        self.changed.set()
        self.changed.clear()

    def update_breaker(self, event: CallProgressed | CallOver, *, is_found: bool = False) -> None:
        """Pass an event of the switch to the breakers; ``is_found``: a query found it, after the fact."""
        breakers = self.pacing.breakers
        organization_id = breakers.organization_of(event.call_id)
        gateway, own = breakers.pauses_of(organization_id)
        if not breakers.observe(event, is_found=is_found):
            return
        gateway_after, own_after = breakers.pauses_of(organization_id)
        if gateway_after != gateway:
            self.report_breaker()
        if own_after != own:
            self.report_organizations()
        self.notify_changed()

    def report_breaker(self) -> None:
        """Report the breaker's state to operators, as a metric and in the log."""
        breaker, gateway = self.pacing.breakers.gateway, self.lease.gateway
        metrics.BREAKER_OPEN.labels(gateway).set(not breaker.is_closed)
        if breaker.is_closed:
            _logger.info("breaker closed", gateway=gateway)
        else:
            probe_in_s = round(max(0.0, breaker.paused_s or 0.0), 1)
            _logger.warning("breaker open", gateway=gateway, pauses=breaker.pauses, probe_in_s=probe_in_s)

    def report_organizations(self) -> None:
        """Report the organisations that are paused, as a metric and in the log."""
        paused = self.pacing.breakers.paused_organizations
        metrics.PAUSED_ORGANIZATIONS.labels(self.lease.gateway).set(len(paused))
        _logger.warning("paused organisations changed", gateway=self.lease.gateway, organizations=sorted(paused))

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
