"""A task that is told to stop stops, whatever it waits for."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def propagate_cancellation() -> Generator[None]:
    """Raise CancelledError at the end, if the task was cancelled in between and nothing came of it.

    What waits with ``asyncio.wait_for`` forgets a cancellation in Python 3.11, where the wait ends in the same turn (a pool
    of connections does so); and a statement that is broken off may look like a lost database.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    except Exception as error:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
