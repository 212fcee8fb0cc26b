"""Doing together what is asked for at the same time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from application.errors import StorageUnavailable

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

BATCH_BYTES = 4 << 20
WAITING_BYTES = 64 << 20


class GroupWork(Generic[Ask, Answer]):
    """Collects what is asked for while the previous batch is under way, and does it as the next batch.

    Nobody waits for a timer: a single request is a batch of one, a crowd shares one round trip. Batches are
    bounded by count and by bytes.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer | Exception]]],
        *,
        most: int,
        weigh: Callable[[Ask], int] = lambda _: 0,
    ) -> None:
        """``work`` answers a batch in its order; ``most`` bounds the batch's count, ``weigh`` tells bytes.

        When ``work`` raises anything but StorageUnavailable it has done nothing of the batch; the batch is then tried by halves.
        """
        self._work = work
        self._most = most
        self._weigh = weigh
        self._waiting: deque[tuple[Ask, int, asyncio.Future[Answer]]] = deque()
        self._bytes = 0
        self._runner: asyncio.Task[None] | None = None

    async def ask(self, item: Ask) -> Answer:
        """Answer what ``work`` answers for the item.

        Raises what ``work`` raised or gave as its answer, and StorageUnavailable when too much waits already.
        """
        weight = self._weigh(item)
        if self._bytes + weight > WAITING_BYTES:
            raise StorageUnavailable("Too much is waiting to be recorded")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, weight, future))
        self._bytes += weight
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return await future

    async def drain(self) -> None:
        """Wait until nothing is waiting or under way."""
        while self._runner is not None:
            await asyncio.shield(self._runner)

    def _next_batch(self) -> list[tuple[Ask, int, asyncio.Future[Answer]]]:
        batch: list[tuple[Ask, int, asyncio.Future[Answer]]] = []
        size = 0
        while self._waiting and len(batch) < self._most:
            if batch and size + self._waiting[0][1] > BATCH_BYTES:
                break
            batch.append(self._waiting.popleft())
            size += batch[-1][1]
        return batch

    async def _run(self) -> None:
        try:
            # What is ready to ask in this turn of the loop comes along in the first batch.
            await asyncio.sleep(0)
            while batch := self._next_batch():
                await self._answer(batch)
        finally:
            self._runner = None

    async def _answer(self, batch: list[tuple[Ask, int, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._work([item for item, _, _ in batch])
        except StorageUnavailable as error:
            answers = [error] * len(batch)
        except Exception as error:  # noqa: BLE001 - whoever asked for what cannot be done gets it
            if len(batch) > 1:  # halving finds that one, and spares the others
                half = len(batch) // 2
                await self._answer(batch[:half])
                await self._answer(batch[half:])
                return
            answers = [error]
        for (_, weight, future), answer in zip(batch, answers, strict=True):
            self._bytes -= weight
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
