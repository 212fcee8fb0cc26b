"""Keeps a projection up with the log: a batch, and the checkpoint that says so, are one transaction."""

import asyncio

import psycopg
import structlog

from application.errors import StorageAway
from infrastructure import checkpoints, metrics
from infrastructure.batches import BatchReader
from infrastructure.database import Pool
from infrastructure.digest import Digestion
from infrastructure.event_log.postgres_log import read_identity
from infrastructure.new_events import NewEvents, woken
from infrastructure.projection import Projection

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_logger = structlog.get_logger(__name__)


class Runner:
    """Runs one projection. Any number may run at once, in any number of processes: one leads, for one batch."""

    def __init__(self, projection: Projection, pool: Pool, new_events: NewEvents) -> None:
        """Work over a connection of ``pool``, whenever ``new_events`` wakes."""
        self._projection = projection
        self._pool = pool
        self._wake = new_events.subscribe()
        self._reader: BatchReader | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Fold what is recorded until ``stop`` is set and somebody wakes; try again whatever befalls Postgres."""
        pause = _FIRST_PAUSE_S
        name = self._projection.name
        while not stop.is_set():
            self._wake.clear()
            try:
                behind = await self.step()
                pause = _FIRST_PAUSE_S
            except (StorageAway, psycopg.Error) as error:
                cause = type(error.__cause__ or error).__name__
                metrics.RETRIES.labels(name, cause).inc()
                _logger.warning("projection pauses", projection=name, error=str(error), cause=cause, pause_s=pause)
                await woken(stop, pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                continue
            if not behind:
                await woken(self._wake)

    async def step(self) -> int:
        """Fold one batch; answer its count, 0 when there is nothing to do or another leads.

        Raises StorageAway, and what psycopg raises where Postgres is at fault; then nothing is changed.
        """
        name = self._projection.name
        async with self._pool.connection() as connection, connection.transaction():
            # Views can be lost with the server's last moments, for their checkpoint is lost with them.
            await connection.execute("SET LOCAL synchronous_commit = off")
            position = await checkpoints.take(connection, name)
            if position is None:
                return 0
            self._reader = self._reader or BatchReader(self._projection.streams, await read_identity(connection))
            batch = await self._reader.after(connection, position)
            if batch is None:
                return 0
            await Digestion(connection, self._projection).digest(batch)
            await checkpoints.move(connection, name, batch.position)
        metrics.EVENTS.labels(name).inc(batch.count)
        metrics.BATCHES.labels(name).inc()
        return batch.count
