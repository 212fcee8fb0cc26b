"""Batching: requests that arrive while a batch is in progress share the next round trip."""

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

import msgspec

from application.errors import StorageUnavailable
from application.time_budget import current_budget, within_budget

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

BATCH_BYTES = 4 << 20
WAITING_BYTES = 64 << 20


class _Waiting(msgspec.Struct, Generic[Item, Outcome], frozen=True):
    owner: int | None
    item: Item
    size: int
    future: asyncio.Future[Outcome]


class Batcher(Generic[Item, Outcome]):
    """Collects the items submitted while the previous batch is in progress, and processes them as the next batch.

    There is no timer: a single item is a batch of one, a crowd shares one round trip. Batches are bounded by
    count and by bytes. The organisations that wait are served round-robin, the items of one of them in their order.
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
        self._waiting: OrderedDict[int | None, deque[_Waiting[Item, Outcome]]] = OrderedDict()
        self._bytes: defaultdict[int | None, int] = defaultdict(int)  # of each organisation, with those in progress
        self._all_bytes = 0
        self._runner: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Outcome:
        """Return the outcome of the item.

        Raises what ``work`` raised or returned for it, and StorageUnavailable when too many bytes of its organisation wait
        already or the request's time budget is spent. An item whose submitter has given up before its batch began is left
        out.
        """
        size, budget = self._size_of(item), current_budget()
        owner = None if budget is None else budget.owner
        if self._bytes.get(owner, 0) + size > WAITING_BYTES - self._all_bytes:
            raise StorageUnavailable("Too many bytes wait to be recorded")
        waiting: _Waiting[Item, Outcome] = _Waiting(owner, item, size, asyncio.get_running_loop().create_future())
        queue = self._waiting.get(owner)
        if queue is None:
            queue = self._waiting[owner] = deque()
        queue.append(waiting)
        self._bytes[owner] += size
        self._all_bytes += size
        if self._runner is None:
            # The batch belongs to all submitters: it must not have the time budget of the first one.
            self._runner = asyncio.create_task(self._run(), context=Context())
        return await (waiting.future if budget is None else within_budget(waiting.future))

    async def drain(self) -> None:
        """Wait until no item is waiting or in progress."""
        while self._runner is not None:
            await asyncio.shield(self._runner)

    def _next_batch(self) -> list[_Waiting[Item, Outcome]]:
        batch: list[_Waiting[Item, Outcome]] = []
        size = 0
        while self._waiting and len(batch) < self._max_items:
            owner = next(iter(self._waiting))
            queue = self._waiting[owner]
            if batch and size + queue[0].size > BATCH_BYTES:
                break
            waiting = queue.popleft()
            if not queue:
                del self._waiting[owner]
            elif len(self._waiting) > 1:
                self._waiting.move_to_end(owner)
            if waiting.future.done():
                self._forget(waiting)
            else:
                batch.append(waiting)
                size += waiting.size
        return batch

    async def _run(self) -> None:
        try:
            # Items that are submitted in this event loop iteration join the first batch.
            await asyncio.sleep(0)
            while batch := self._next_batch():
                await self._process(batch)
        finally:
            self._runner = None

    async def _process(self, batch: list[_Waiting[Item, Outcome]]) -> None:
        outcomes: Sequence[Outcome | Exception]
        try:
            outcomes = await self._work([waiting.item for waiting in batch])
        except StorageUnavailable as error:
            outcomes = [error] * len(batch)
        except Exception as error:  # noqa: BLE001 - raised to the submitter of the item that caused it
            if len(batch) > 1:  # halving isolates that item and spares the others
                half = len(batch) // 2
                await self._process(batch[:half])
                await self._process(batch[half:])
                return
            outcomes = [error]
        for waiting, outcome in zip(batch, outcomes, strict=True):
            self._forget(waiting)
            if waiting.future.done():
                continue
            if isinstance(outcome, Exception):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)

    def _forget(self, waiting: _Waiting[Item, Outcome]) -> None:
        self._all_bytes -= waiting.size
        self._bytes[waiting.owner] -= waiting.size
        if not self._bytes[waiting.owner]:
            del self._bytes[waiting.owner]
