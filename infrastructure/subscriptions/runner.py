"""Keeps a projection or policy up with the log: a batch, and the checkpoint that says so, are one transaction."""

import asyncio
from time import monotonic

import psycopg
import structlog
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from infrastructure.event_log.identity import read_identity
from infrastructure.event_log.reader import BATCH_EVENTS, BatchReader
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import Listener, wait_or_timeout
from infrastructure.subscriptions import checkpoints, metrics
from infrastructure.subscriptions.batch_handling import BatchHandler
from infrastructure.subscriptions.handler import Handler

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LOOK_AHEAD = 5 * BATCH_EVENTS  # how much of the log one query may pass over

# What comes in a steady flow is handled in fewer, bigger batches: else each commit of one would be followed at once by a
# commit of every handler, and the calls that are due would wait for those. What comes after a while is handled at once.
_FEW_EVENTS = 200

# A policy writes nothing when nothing concerns it, but for its checkpoint, so seldom as nobody takes for a standstill.
_STALE_S = 0.5
_STALE_EVENTS = 1000

_logger = structlog.get_logger(__name__)


class Runner:
    """Runs one handler. Any number may run at once, in any number of processes: one leads, for one batch."""

    def __init__(self, handler: Handler, pool: Pool, new_events: Listener, readers: Listener) -> None:
        """Work over a connection of ``pool``, whenever ``new_events`` wakes; ``readers`` does where one waits for a view."""
        self._handler = handler
        self._pool = pool
        self._wake = new_events.subscribe()
        self._hurry = readers.subscribe()
        self._reader: BatchReader | None = None
        self._is_quiet = False
        self._seen = 0  # after the checkpoint there is nothing wanted up to here
        self._moved = 0
        self._moved_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Handle what is recorded until ``stop`` is set and somebody wakes; try again whatever befalls Postgres."""
        pause = _FIRST_PAUSE_S
        name = self._handler.name
        while not stop.is_set():
            self._wake.clear()
            try:
                behind = await self.step()
                pause = _FIRST_PAUSE_S
            except (StorageUnavailable, psycopg.Error) as error:
                cause = type(error.__cause__ or error).__name__
                metrics.RETRIES.labels(name, cause).inc()
                _logger.warning("handler pauses", handler=name, error=str(error), cause=cause, pause_s=pause)
                # After a restore the log may be another, and shorter.
                self._reader, self._seen, self._is_quiet = None, 0, False
                await wait_or_timeout(stop, pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                continue
            if behind < _FEW_EVENTS:
                await self._rest(stop)
            if not behind:
                await wait_or_timeout(self._wake)

    async def _rest(self, stop: asyncio.Event) -> None:
        """Let a little gather after few events: in a steady flow, what a batch costs is hardly more than one event does."""
        tuning = self._handler.tuning
        await wait_or_timeout(self._hurry if tuning.readers_end_rest else stop, tuning.rest_s)
        self._hurry.clear()

    async def step(self) -> int:
        """Handle one batch; answer its count, 0 when there is nothing to do or another leads.

        Raises StorageUnavailable, and what psycopg raises where Postgres is at fault; then nothing is changed.
        """
        async with self._pool.connection() as connection:
            if self._is_quiet and not await self._is_wanted(connection):
                return 0
            async with checkpoints.leading(connection, self._handler.name) as lead:
                events = await self._handle(connection, lead) if lead else None
        if lead is None or events is None:
            return 0
        self._seen, self._moved, self._moved_at = lead.reached, lead.reached, monotonic()
        self._is_quiet = self._handler.tuning.skips_quiet_commits and not events
        count = lead.reached - lead.position
        metrics.EVENTS.labels(self._handler.name).inc(count)
        metrics.BATCHES.labels(self._handler.name).inc()
        return count

    async def _handle(self, connection: AsyncConnection, lead: checkpoints.Lead) -> int | None:
        """Handle what follows the checkpoint, as much as fits; answer how many events were wanted, None when none follow."""
        reader = self._reader = self._reader or await self._open_reader(connection)
        self._moved = lead.position
        self._seen = lead.reached = max(lead.position, self._seen)
        batch = await reader.after(connection, self._seen, until=self._seen + _LOOK_AHEAD)
        if batch is not None:
            passing = BatchHandler(connection, self._handler.name, self._handler.handle)
            await passing.handle(batch.events, has_parked=lead.has_parked)
            lead.reached = batch.position
        elif lead.reached == lead.position:
            return None
        return len(batch.events) if batch else 0

    async def _open_reader(self, connection: AsyncConnection) -> BatchReader:
        most = self._handler.tuning.batch_events
        return BatchReader(self._handler.subscription, await read_identity(connection), max_events=most)

    async def _is_wanted(self, connection: AsyncConnection) -> bool:
        """Whether there is something to write: about what follows, or that it is of no concern."""
        if self._reader is None:
            return True
        self._seen, found = await self._reader.scan_unmatched(connection, self._seen, until=self._seen + _LOOK_AHEAD)
        behind = self._seen - self._moved
        return found or behind >= _STALE_EVENTS or (behind > 0 and monotonic() - self._moved_at > _STALE_S)
