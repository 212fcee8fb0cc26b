"""Keep a projection or policy up to date with the log: a batch and its checkpoint are one transaction."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from time import monotonic

import psycopg
import structlog
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from infrastructure.event_log.identity import read_identity
from infrastructure.event_log.reader import BATCH_EVENTS, BatchReader
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import POLL_S, Channel, wait_or_timeout
from infrastructure.subscriptions import checkpoints, metrics
from infrastructure.subscriptions.batch_handling import BatchHandler
from infrastructure.subscriptions.handler import Handler

_FIRST_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 5.0
_LOOK_AHEAD = 5 * BATCH_EVENTS  # events of the log that one query may pass over

# Under load, events are handled in fewer, bigger batches: otherwise each commit of one handler would be followed at once
# by a commit of every other, and due calls would wait for those commits. When idle, an event is handled at once.
_SMALL_BATCH = 200

# A policy writes nothing for events that do not concern it, except its checkpoint: seldom, but often enough that its
# lag never looks like a standstill.
_STALE_S = 0.5
_STALE_EVENTS = 1000

_logger = structlog.get_logger(__name__)


class Runner:
    """Runs one handler. Any number of runners, in any number of processes, may run it: one leads, for one batch."""

    def __init__(
        self,
        handler: Handler,
        pool: Pool,
        new_events: Channel,
        readers: Channel,
        turns: AbstractAsyncContextManager[None] | None = None,
    ) -> None:
        """Work over a connection of ``pool`` whenever ``new_events`` wakes it.

        ``readers`` wakes it when a reader waits for a view. ``turns`` limits how many runners handle a batch at a time.
        """
        self._handler = handler
        self._pool = pool
        self._wake = new_events.subscribe()
        self._reader_waits = readers.subscribe()
        self._turns: AbstractAsyncContextManager[object] = turns or nullcontext()
        self._reader: BatchReader | None = None
        self._is_quiet = False
        self._scanned = 0  # no event between the checkpoint and this position matches
        self._committed = 0
        self._committed_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Handle new events until ``stop`` is set; retry after every error of Postgres.

        Wake the runner after setting ``stop``, so that it sees it at once.
        """
        backoff = _FIRST_BACKOFF_S
        name = self._handler.name
        while not stop.is_set():
            self._wake.clear()
            try:
                async with self._turns:
                    count = await self.step()
                backoff = _FIRST_BACKOFF_S
            except (StorageUnavailable, psycopg.Error) as error:
                cause = type(error.__cause__ or error).__name__
                metrics.RETRIES.labels(name, cause).inc()
                _logger.warning("handler paused", handler=name, error=str(error), cause=cause, pause_s=backoff)
                # After a restore the log may be another one, and shorter.
                self._reader, self._scanned, self._is_quiet = None, 0, False
                await wait_or_timeout(stop, backoff)
                backoff = min(2 * backoff, _MAX_BACKOFF_S)
                continue
            if count < _SMALL_BATCH:
                await self._rest(stop)
            if not count:
                is_behind = self._scanned > self._committed
                await wait_or_timeout(self._wake, _STALE_S if is_behind else POLL_S)

    async def _rest(self, stop: asyncio.Event) -> None:
        """Wait for more events after a small batch: a big batch costs hardly more than a single event."""
        tuning = self._handler.tuning
        await wait_or_timeout(self._reader_waits if tuning.readers_end_rest else stop, tuning.rest_s)
        self._reader_waits.clear()

    async def step(self) -> int:
        """Handle one batch, and return its count of events: 0 when there is nothing to do or another runner leads.

        Raises StorageUnavailable, and errors of psycopg that Postgres causes; then nothing is changed.
        """
        async with self._pool.connection() as connection:
            if self._is_quiet and not await self._has_work(connection):
                return 0
            async with checkpoints.batch_transaction(connection, self._handler.name) as checkpoint:
                matching = await self._handle(connection, checkpoint) if checkpoint else None
        if checkpoint is None or matching is None:
            return 0
        self._scanned, self._committed, self._committed_at = checkpoint.reached, checkpoint.reached, monotonic()
        self._is_quiet = self._handler.tuning.skips_quiet_commits and not matching
        count = checkpoint.reached - checkpoint.position
        metrics.EVENTS.labels(self._handler.name).inc(count)
        metrics.BATCHES.labels(self._handler.name).inc()
        return count

    async def _handle(self, connection: AsyncConnection, checkpoint: checkpoints.LockedCheckpoint) -> int | None:
        """Handle the next batch after the checkpoint; return its count of matching events, None when there is no batch."""
        reader = self._reader = self._reader or await self._open_reader(connection)
        self._committed = checkpoint.position
        self._scanned = checkpoint.reached = max(checkpoint.position, self._scanned)
        batch = await reader.after(connection, self._scanned, until=self._scanned + _LOOK_AHEAD)
        if batch is not None:
            batch_handler = BatchHandler(connection, self._handler.name, self._handler.handle)
            await batch_handler.handle(batch.events, has_parked=checkpoint.has_parked)
            checkpoint.reached = batch.position
        elif checkpoint.reached == checkpoint.position:
            return None
        return len(batch.events) if batch else 0

    async def _open_reader(self, connection: AsyncConnection) -> BatchReader:
        max_events = self._handler.tuning.batch_events
        return BatchReader(self._handler.subscription, await read_identity(connection), max_events=max_events)

    async def _has_work(self, connection: AsyncConnection) -> bool:
        """Return whether a matching event follows, or the checkpoint is stale."""
        if self._reader is None:
            return True
        until = self._scanned + _LOOK_AHEAD
        self._scanned, found = await self._reader.scan_unmatched(connection, self._scanned, until=until)
        behind = self._scanned - self._committed
        return found or behind >= _STALE_EVENTS or (behind > 0 and monotonic() - self._committed_at > _STALE_S)
