"""Whom the demo calls back: 300 people whose phones behave as the thousands digits of their numbers say.

1 answers, 2 is busy, 3 rings in vain, 4 rejects, 5 is unknown, 6 meets congestion, 7 hangs up soon, 8 is busy at first,
9 and 0 are left to chance. The numbers are of a range that nobody has.
"""

from itertools import cycle, islice
from typing import Any

import msgspec

from interfaces.demo.receiver import Receiver

_CUSTOMERS = "118119112110138114115118116117"
_AGENTS = "1" * 26 + "278"
_AGENT_COUNT = 12
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


PLANS = (
    Plan(name="Доставка: согласовать время", limit=12, callbacks=180),
    Plan(name="Магазин: ответить на вопрос", limit=8, callbacks=120, later=20),
)


def callbacks(receiver: Receiver) -> list[list[dict[str, Any]]]:
    """Answer the callbacks of each plan, as the API takes them; every step of each is told to the receiver."""
    urls = {f"url_{kind}": f"{receiver.url}/{kind}" for kind in _KINDS}
    people = zip(cycle(_AGENTS), customers(sum(plan.callbacks for plan in PLANS)), strict=False)
    calls = (
        {
            "name": f"Заказ A-{219_000 + i}",
            "a_number": f"{agent}{100 + i % _AGENT_COUNT}",
            "b_number": number,
            "try_count": _TRIES,
            "try_again_pause": str(_PAUSE_S),
            **urls,
        }
        for i, (agent, number) in enumerate(people)
    )
    placed = [list(islice(calls, plan.callbacks)) for plan in PLANS]
    for plan, tasks in zip(PLANS, placed, strict=True):
        for task in tasks[len(tasks) - plan.later :]:
            task["start_time_utc"] = str(_LATER_S)
    return placed


def customers(count: int) -> list[str]:
    """Answer the numbers of so many people, one in four as it is written at home."""
    digits = islice(cycle(_CUSTOMERS), count)
    return [f"8 (701) 000-{digit}{i:03}" if i % 4 == 1 else f"+7701000{digit}{i:03}" for i, digit in enumerate(digits)]
