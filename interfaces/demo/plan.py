"""The people that the demo calls back; the number of a phone decides how it behaves.

Each kind of gateway has its own cast: simulated_cast.py, switch_cast.py.
"""

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
    """A queue, its limit of calls, its number of callbacks, and how many of them start some seconds later."""

    name: str
    limit: int
    callbacks: int
    later: int = 0


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """All numbers and queues of the demo.

    The callbacks of all queues, in order, ring ``agents``, then ``customers``; the tasks, if any, ring the ``lines`` of the
    call centre, then ``customers_of_tasks``. ``tried_again`` is a digit: the fourth from the end in the numbers of customers
    of the first queue who need a retry. ``example`` is an agent and a customer.
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
        """The number of callbacks, without those of tasks."""
        return sum(plan.callbacks for plan in self.plans)


def callbacks(cast: Cast, receiver: Receiver) -> list[list[dict[str, Any]]]:
    """Return the callbacks of each plan in the format of the API; the receiver gets a webhook for every step."""
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
