"""Going through very many things without holding up whoever else the process serves."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import TypeVar

T = TypeVar("T")

_AT_ONCE = 200  # a few milliseconds' work at most


async def yielding(items: Iterable[T]) -> AsyncGenerator[T]:
    """Yield the items; after every 200 of them others have their turn."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
