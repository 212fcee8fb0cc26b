"""The time that a request may still wait for the database, over all its queries."""

import asyncio
from contextvars import ContextVar, Token
from typing import TypeVar

from application.errors import StorageUnavailable

T = TypeVar("T")

REQUEST_S = 4.5
"""A request is answered within five seconds: what it does not wait for the database is for the answer itself."""


class TimeBudget:
    """Seconds that may still be spent. Other time, such as that of a slow client, is not charged."""

    def __init__(self, seconds: float = REQUEST_S) -> None:
        """Start with ``seconds``."""
        self.left = seconds


_budget: ContextVar[TimeBudget | None] = ContextVar("time_budget", default=None)


def start_budget(seconds: float = REQUEST_S) -> Token[TimeBudget | None]:
    """Give the current task, and those that it creates, a new budget; return what ``end_budget`` needs."""
    return _budget.set(TimeBudget(seconds))


def end_budget(token: Token[TimeBudget | None]) -> None:
    """Take the budget away again from the current task."""
    _budget.reset(token)


def current_budget() -> TimeBudget | None:
    """Return the budget of the current task; None where nothing is limited, such as in the worker."""
    return _budget.get()


async def within_budget(future: asyncio.Future[T]) -> T:
    """Wait for the future, and charge the time. Raises StorageUnavailable when nothing is left; the future has it too."""
    budget = _budget.get()
    if budget is None:
        return await future
    loop = asyncio.get_running_loop()
    began = loop.time()
    timer = loop.call_at(began + budget.left, _expire, future)
    try:
        return await future
    finally:
        timer.cancel()
        budget.left -= loop.time() - began


def _expire(future: asyncio.Future[T]) -> None:
    if not future.done():
        future.set_exception(StorageUnavailable("The database did not respond in time"))
