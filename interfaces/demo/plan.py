"""Whom the demo calls back: people whose phones behave as their numbers say. The cast for each kind of switch is beside."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from interfaces.demo.receiver import Receiver

_TRIES = 3
_PAUSE_S = 1
_LATER_S = 4
_KINDS = ("before", "before_again", "success", "after")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A queue, its limit, how many callbacks are placed in it, and how many of these begin some seconds later."""

    name: str
    limit: int
    callbacks: int
    later: int = 0


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """All numbers of the demo, and the queues that it calls over.

    The callbacks, of all queues in their order, ring ``agents``, then ``customers``; the tasks, if there are any, ring the
    lines of the call centre, then ``customers_of_tasks``. ``tried_again`` is a digit: the fourth from the end of the number of
    those customers of the first queue who cannot be had at once. ``example`` is an agent, and a customer.
    """

    plans: tuple[Plan, ...]
    lines: tuple[str, ...]
    agents: Sequence[str]
    customers: Sequence[str]
    customers_of_tasks: Sequence[str]
    tried_again: str
    example: tuple[str, str]

    @property
    def placed(self) -> int:
        """How many callbacks there are, but for those of tasks."""
        return sum(plan.callbacks for plan in self.plans)


def callbacks(cast: Cast, receiver: Receiver) -> list[list[dict[str, Any]]]:
    """Answer the callbacks of each plan, as the API takes them; every step of each is told to the receiver."""
    urls = {f"url_{kind}": f"{receiver.url}/{kind}" for kind in _KINDS}
    calls = (
        {
            "name": f"Заказ A-{219_000 + i}",
            "a_number": agent,
            "b_number": customer,
            "try_count": _TRIES,
            "try_again_pause": str(_PAUSE_S),
            **urls,
        }
        for i, (agent, customer) in enumerate(zip(cast.agents, cast.customers, strict=True))
    )
    placed = [list(islice(calls, plan.callbacks)) for plan in cast.plans]
    for plan, tasks in zip(cast.plans, placed, strict=True):
        for task in tasks[len(tasks) - plan.later :]:
            task["start_time_utc"] = str(_LATER_S)
    return placed
