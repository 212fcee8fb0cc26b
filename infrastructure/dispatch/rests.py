"""Loops that leave most of the time to others."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

_POLL_S = 1.0
_RESTS = 4.0  # as many times as a batch takes


async def run_with_rests(batch: Callable[[], Awaitable[bool]]) -> None:
    """Run batches until cancelled. Rest four times as long as a batch took, or a second after one that returned False.

    False means that it found nothing to do.
    """
    while True:
        began = monotonic()
        is_any = await batch()
        await asyncio.sleep((monotonic() - began) * _RESTS if is_any else _POLL_S)
