"""Rebuild a projection from the log beside the live one, compare the two, and swap.

Readers notice nothing: they read the live tables until one transaction gives their names to the new ones. The old tables
are kept under names that end in ``__old`` until the next rebuild starts; they are no longer updated.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from time import perf_counter

import psycopg
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from application.ports.operations import Difference, RebuildProgress, RebuildReport, RebuildUnderWay
from infrastructure.access_directory.projection import AccessDirectory
from infrastructure.event_log.identity import read_identity
from infrastructure.event_log.reader import Batch, BatchReader
from infrastructure.operations.live_view import CheckpointedView, InlineDirectory, LiveView
from infrastructure.operations.shadow_tables import NEW, ShadowTables
from infrastructure.postgres.sessions import MAINTENANCE, open_connection
from infrastructure.postgres.sql import statement
from infrastructure.read_models.registry import PROJECTIONS, VIEWS
from infrastructure.subscriptions.batch_handling import BatchHandler
from infrastructure.subscriptions.projection import Projection

_DIRECTORY = AccessDirectory()
REBUILDABLE = VIEWS | {_DIRECTORY.name: _DIRECTORY.summary}
"""The views that can be rebuilt: the question that each of them answers, by its name."""

_REBUILDS = 0x7065_7262  # "perb": the class of the advisory locks that allow one rebuild of a view at a time
_BATCH_EVENTS = 20_000  # the bigger the batch, the fewer rows are written twice; it is bounded by bytes too
_NEAR_EVENTS = 1000
_LOCK_TRIES = 30
# Longer than the second after which Postgres cancels an autovacuum that blocks a lock.
_LOCK_SETTINGS = b"SET LOCAL lock_timeout = '1500ms'"
_LOCK_PAUSE_S = 0.5

_SETTINGS = b"SET synchronous_commit = off; SET maintenance_work_mem = '256MB'"
_LAST_SETTINGS = b"SET LOCAL synchronous_commit = on; SET LOCAL work_mem = '64MB'"
_TRY_REBUILD_LOCK = statement("SELECT pg_try_advisory_lock(%s, hashtext(%s))")
_DELETE_PARKED = statement("DELETE FROM {schema}.parked_streams WHERE name = %s")
_RENAME_PARKED = statement("UPDATE {schema}.parked_streams SET name = %s WHERE name = %s")
_COUNT_PARKED = statement("SELECT count(*) FROM {schema}.parked_streams WHERE name = %s")


async def rebuild(dsn: str, name: str, *, accept: bool, progress: RebuildProgress) -> RebuildReport:
    """Rebuild the view, compare it with the live one at one log position, and swap it in when they are equal.

    Args:
        dsn: address of the database for the role that owns it.
        name: one of ``REBUILDABLE``.
        accept: swap it in even when they differ.
        progress: receives the log position that is reached, and the position to reach.

    Raises:
        KeyError: no view has this name.
        RebuildUnderWay: another rebuild of it is running.
        StorageUnavailable: the database is unreachable, or others lock the live tables for minutes. The next rebuild
            starts from scratch.
    """
    started = perf_counter()
    is_inline = name == _DIRECTORY.name
    projection = _DIRECTORY if is_inline else PROJECTIONS[name]
    live = InlineDirectory() if is_inline else CheckpointedView(name)
    async with (
        open_connection(dsn, MAINTENANCE, f"rebuild {name}") as writing,
        open_connection(dsn, MAINTENANCE, "rebuild reader") as reading,
    ):
        await writing.execute(_SETTINGS)
        if await (await writing.execute(_TRY_REBUILD_LOCK, (_REBUILDS, name))).fetchone() != (True,):
            raise RebuildUnderWay(f"Another rebuild of {name} is running")
        reader = BatchReader(projection.subscription, await read_identity(reading), max_events=_BATCH_EVENTS)
        run = _Rebuild(writing, reading, projection, live, reader=reader, progress=progress)
        await run.load()
        differences, swapped = await run.compare_and_swap(accept=accept)
        (parked,) = await (await writing.execute(_COUNT_PARKED, (name if swapped else name + NEW,))).fetchone() or (0,)
    return RebuildReport(
        name=name,
        position=run.position,
        events=run.position,
        seconds=perf_counter() - started,
        parked=parked,
        differences=differences,
        swapped=swapped,
    )


class _Rebuild:
    """One rebuild: a batch is folded over ``writing`` while the next one is fetched over ``reading``."""

    def __init__(
        self,
        writing: AsyncConnection,
        reading: AsyncConnection,
        projection: Projection,
        live: LiveView,
        *,
        reader: BatchReader,
        progress: RebuildProgress,
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._name = projection.name
        self._shadow = ShadowTables(writing, projection.tables)
        self._live = live
        self._reader = reader
        self._batch_handler = BatchHandler(writing, self._name + NEW, partial(projection.handle, suffix=NEW))
        self._progress = progress
        self.position = 0

    async def load(self) -> None:
        """Fill the shadow tables almost up to the position of the live ones."""
        await self._shadow.create()
        await self._writing.execute(_DELETE_PARKED, (self._name + NEW,))
        await self._catch_up()
        await self._shadow.finish()
        await self._catch_up()

    async def compare_and_swap(self, *, accept: bool) -> tuple[list[Difference], bool]:
        """Bring the shadow tables to the position of the live ones, which are held there meanwhile; compare, and swap."""
        async with self._writing.transaction():
            await self._writing.execute(_LAST_SETTINGS)
            await self._fold_until(await self._live.hold(self._writing))
            differences = await self._shadow.compare()
            if not accept and any(found.differing or found.missing or found.extra for found in differences):
                return differences, False
            await self._lock()
            await self._shadow.swap()
            await self._writing.execute(_DELETE_PARKED, (self._name,))
            await self._writing.execute(_RENAME_PARKED, (self._name, self._name + NEW))
        return differences, True

    async def _catch_up(self) -> None:
        """Fold events to within 1,000 of the live view; stop when that view moves about as fast, or this would never end."""
        last_gap = 1 << 63
        while (gap := await self._live.read(self._writing) - self.position) > _NEAR_EVENTS:
            if 2 * gap > last_gap:
                return
            last_gap = gap
            await self._fold_until(self.position + gap)

    async def _fold_until(self, position: int) -> None:
        async with aclosing(self._read_ahead(position)) as batches:
            async for batch in batches:
                async with self._writing.transaction():
                    await self._batch_handler.handle(batch.events)
                self.position = batch.position
                self._progress(self.position, position)

    async def _read_ahead(self, until: int) -> AsyncGenerator[Batch]:
        """Yield the batches; the next one is fetched and decoded while one is folded."""
        ahead = asyncio.create_task(self._reader.after(self._reading, self.position, until=until))
        try:
            while batch := await ahead:
                ahead = asyncio.create_task(self._reader.after(self._reading, batch.position, until=until))
                yield batch
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def _lock(self) -> None:
        """Lock the live tables: wait for present readers, but never block new ones for long."""
        await self._writing.execute(_LOCK_SETTINGS)
        for _ in range(_LOCK_TRIES):
            with suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                async with self._writing.transaction():
                    await self._shadow.lock()
                return
            await asyncio.sleep(_LOCK_PAUSE_S)
        raise StorageUnavailable(
            f"The tables of {self._name} are locked by another transaction; try again when it has ended"
        )
