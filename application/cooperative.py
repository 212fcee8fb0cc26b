"""Cooperative multitasking: long loops that let other tasks of the event loop run."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import TypeVar

T = TypeVar("T")

_ITEMS_PER_TURN = 200  # at most a few milliseconds of work


async def yielding(items: Iterable[T]) -> AsyncGenerator[T]:
    """Yield the items; after every 200 items, let other tasks run."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _ITEMS_PER_TURN == 0:
            await asyncio.sleep(0)
