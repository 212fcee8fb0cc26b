"""Waiting for what happens in its own time: a condition and a deadline, never a bare sleep."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")

_PAUSE = 0.02


def eventually(predicate: Callable[[], T], *, timeout: float = 10.0) -> T:
    """Ask again and again until the answer is true in the sense of `bool`.

    Args:
        predicate: what to ask. An exception of its own ends the wait.
        timeout: how many seconds may pass.

    Returns:
        The true answer.

    Raises:
        AssertionError: the deadline came first; the text holds the last answer.
    """
    deadline = time.monotonic() + timeout
    while not (answer := predicate()):
        assert time.monotonic() < deadline, f"Not within {timeout} s; the last answer was {answer!r}"
        time.sleep(_PAUSE)
    return answer


async def eventually_async(
    predicate: Callable[[], Awaitable[T]],
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 - it bounds the tries, and the test's own task may outlive it
) -> T:
    """Ask again and again, as `eventually` does, and let other tasks run in between."""
    deadline = time.monotonic() + timeout
    while not (answer := await predicate()):
        assert time.monotonic() < deadline, f"Not within {timeout} s; the last answer was {answer!r}"
        await anyio.sleep(_PAUSE)
    return answer
