"""The time that a request may still wait for the database, over all its queries, and the organisation that it is for."""

import asyncio
from contextvars import ContextVar, Token
from typing import TypeVar

from application.errors import StorageUnavailable

T = TypeVar("T")

REQUEST_S = 4.5
"""A request is answered within five seconds: what it does not wait for the database is for the answer itself."""


class TimeBudget:
    """Seconds that may still be spent. Other time, such as that of a slow client, is not charged.

    ``owner`` is the organisation that the request is for, once it is known: batches serve organisations round-robin.
    """

    def __init__(self, seconds: float = REQUEST_S) -> None:
        """Start with ``seconds``, and without an owner."""
        self.left = seconds
        self.owner: int | None = None


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


def set_owner(organization_id: int) -> None:
    """Set the organisation that the current request is for."""
    if (budget := _budget.get()) is not None:
        budget.owner = organization_id


def current_owner() -> int | None:
    """Return the organisation that the current task works for; None where it is not known, and for a worker's own work."""
    budget = _budget.get()
    return None if budget is None else budget.owner


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
