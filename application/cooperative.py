"""Cooperative multitasking: long loops in parts, between which the event loop serves other requests.

The event loop's time is a resource that organisations share. Long work of all of them together gets at most half of it,
in parts of a millisecond, round-robin by organisation (docs/adr/0013-fair-shares.md).
"""

import asyncio
from collections.abc import AsyncGenerator, Hashable, Iterable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import TypeVar
from weakref import WeakKeyDictionary

from application.errors import ShareExhausted
from application.fair_share import FairShare

T = TypeVar("T")

TURN_S = 0.001

_PART = 250
_PERIOD_S = 2 * TURN_S
_WAIT_S = 10.0
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, FairShare] = WeakKeyDictionary()


async def yielding(items: Iterable[T], owner: Hashable) -> AsyncGenerator[T]:
    """Yield the items; after each millisecond, wait for the owner's next turn. Short loops never wait.

    ``owner`` is the organisation that the work is for. After ten seconds without a turn it continues nevertheless: it may
    be about to respond to a change that is recorded already.
    """
    ends_at = perf_counter() + TURN_S
    for item in items:
        if perf_counter() >= ends_at:
            await _turn(owner)
            ends_at = perf_counter() + TURN_S
        yield item


async def in_parts(items: Sequence[T]) -> AsyncGenerator[Sequence[T]]:
    """Yield the items of a batch in parts of 250, between which the event loop serves other tasks.

    For batches of the worker that belong to no organisation: they are bounded, and due calls wait for the event loop.
    """
    for first in range(0, len(items), _PART):
        if first:
            await asyncio.sleep(0)
        yield items[first : first + _PART]


async def _turn(owner: Hashable) -> None:
    """Wait for the next turn of the owner, and let the turn after it begin two milliseconds later."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = FairShare("turns of the event loop", 1)
    await asyncio.sleep(0)  # short requests first, even when no other work is long
    with suppress(ShareExhausted):  # counted by the share
        await turns.acquire(owner, timeout_s=_WAIT_S)
        loop.call_later(_PERIOD_S, turns.release, owner)
