"""Batching: requests that arrive while a batch is in progress share the next round trip."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from application.errors import StorageUnavailable
from application.time_budget import within_budget

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

BATCH_BYTES = 4 << 20
WAITING_BYTES = 64 << 20


class Batcher(Generic[Item, Outcome]):
    """Collects the items submitted while the previous batch is in progress, and processes them as the next batch.

    There is no timer: a single item is a batch of one, a crowd shares one round trip. Batches are bounded by
    count and by bytes.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome | Exception]]],
        *,
        max_items: int,
        size_of: Callable[[Item], int] = lambda _: 0,
    ) -> None:
        """Process batches with ``work``, which returns an outcome for each item, in the batch's order.

        ``max_items`` bounds a batch's count, ``size_of`` returns an item's bytes. When ``work`` raises anything but
        StorageUnavailable it has done nothing of the batch; the batch is then retried in halves.
        """
        self._work = work
        self._max_items = max_items
        self._size_of = size_of
        self._waiting: deque[tuple[Item, int, asyncio.Future[Outcome]]] = deque()
        self._bytes = 0
        self._runner: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Outcome:
        """Return the outcome of the item.

        Raises what ``work`` raised or returned for it, and StorageUnavailable when too many bytes wait already or the
        request's time budget is spent. An item whose submitter has given up before its batch began is left out.
        """
        size = self._size_of(item)
        if self._bytes + size > WAITING_BYTES:
            raise StorageUnavailable("Too many bytes wait to be recorded")
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, size, future))
        self._bytes += size
        if self._runner is None:
            # The batch belongs to all submitters: it must not have the time budget of the first one.
            self._runner = asyncio.create_task(self._run(), context=Context())
        return await within_budget(future)

    async def drain(self) -> None:
        """Wait until no item is waiting or in progress."""
        while self._runner is not None:
            await asyncio.shield(self._runner)

    def _next_batch(self) -> list[tuple[Item, int, asyncio.Future[Outcome]]]:
        batch: list[tuple[Item, int, asyncio.Future[Outcome]]] = []
        size = 0
        while self._waiting and len(batch) < self._max_items:
            if batch and size + self._waiting[0][1] > BATCH_BYTES:
                break
            item = self._waiting.popleft()
            if item[2].done():
                self._bytes -= item[1]
            else:
                batch.append(item)
                size += item[1]
        return batch

    async def _run(self) -> None:
        try:
            # Items that are submitted in this event loop iteration join the first batch.
            await asyncio.sleep(0)
            while batch := self._next_batch():
                await self._process(batch)
        finally:
            self._runner = None

    async def _process(self, batch: list[tuple[Item, int, asyncio.Future[Outcome]]]) -> None:
        outcomes: Sequence[Outcome | Exception]
        try:
            outcomes = await self._work([item for item, _, _ in batch])
        except StorageUnavailable as error:
            outcomes = [error] * len(batch)
        except Exception as error:  # noqa: BLE001 - raised to the submitter of the item that caused it
            if len(batch) > 1:  # halving isolates that item and spares the others
                half = len(batch) // 2
                await self._process(batch[:half])
                await self._process(batch[half:])
                return
            outcomes = [error]
        for (_, size, future), outcome in zip(batch, outcomes, strict=True):
            self._bytes -= size
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
