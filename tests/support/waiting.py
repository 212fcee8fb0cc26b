"""Wait for asynchronous results: a condition with a deadline, never a bare sleep."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")

_PAUSE = 0.02


def eventually(predicate: Callable[[], T], *, timeout: float = 10.0) -> T:
    """Call a predicate repeatedly until its result is true in the sense of `bool`.

    Args:
        predicate: the condition. An exception that it raises ends the wait.
        timeout: the deadline in seconds.

    Returns:
        The first true result.

    Raises:
        AssertionError: the deadline has passed; the text contains the last result.
    """
    deadline = time.monotonic() + timeout
    while not (result := predicate()):
        assert time.monotonic() < deadline, f"Not within {timeout} s; the last result was {result!r}"
        time.sleep(_PAUSE)
    return result


async def eventually_async(
    predicate: Callable[[], Awaitable[T]],
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 - it bounds the tries, and the test's own task may outlive it
) -> T:
    """Call a predicate repeatedly, as `eventually` does, while other tasks run in between."""
    deadline = time.monotonic() + timeout
    while not (result := await predicate()):
        assert time.monotonic() < deadline, f"Not within {timeout} s; the last result was {result!r}"
        await anyio.sleep(_PAUSE)
    return result
