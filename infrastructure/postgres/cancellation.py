"""Cancellation: a cancelled task stops, also in a wait that swallows the cancellation."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def propagate_cancellation() -> Generator[None]:
    """Raise CancelledError at the end if the task was cancelled meanwhile and the cancellation was swallowed.

    In Python 3.11 ``asyncio.wait_for`` swallows a cancellation that arrives in the turn in which the wait ends (a
    connection pool waits this way); and an interrupted statement may look like a lost database.
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
