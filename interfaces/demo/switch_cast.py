"""The cast of the demo on a real switch: 60 people at extensions of four digits, never at a public number.

The phones are those of tests/asterisk; the first two digits decide how they behave: 10 and 11 answer, and 11 hangs up
after a talk; 20 is busy, 30 rings, 31 is switched off, 40 rejects, 50 is unknown, 60 meets congestion, 70 answers and soon
hangs up. No number starts like an emergency number of the demo's country (101 to 104, 112): a line that dials digit by
digit would not wait for the fourth digit. No phone rings until the timeout, which would take 30 seconds each time. No
tasks are carried out, since their callers have public numbers.
"""

import textwrap
from itertools import cycle, islice

from application.ports.call_gateway import GatewayKind
from interfaces.demo.plan import Cast, Plan

_FIRST = 30
_PHONES = ("11", "11", "20", "11", "11", "31", "11", "11", "50", "11")
_ODD = {12: ("1001", "40"), 22: ("1002", "60"), 34: ("2001", "11"), 46: ("7001", "30")}  # by position
_PLANS = (
    Plan(name="Доставка: согласовать время", limit=6, callbacks=36),
    Plan(name="Магазин: ответить на вопрос", limit=4, callbacks=24, later=6),
)


def switch_cast() -> Cast:
    """Return the cast."""
    count = sum(plan.callbacks for plan in _PLANS)
    usual = [(f"100{1 + i % 9}", phone) for i, phone in enumerate(islice(cycle(_PHONES), count))]
    people = [_ODD.get(i, pair) for i, pair in enumerate(usual)]
    return Cast(
        plans=_PLANS,
        lines=("1001", "1002", "1003", "1004"),
        agents=[agent for agent, _ in people],
        customers=[f"{phone}{_FIRST + i}" for i, (_, phone) in enumerate(people)],
        customers_of_tasks=(),
        tried_again="2",
        example=("1001", f"11{_FIRST}"),
    )


def warning(cast: Cast, gateway: GatewayKind) -> str:
    """Return the warning before the first call: the gateway, and the numbers that will be dialled."""
    agents, customers = (", ".join(sorted(set(numbers))) for numbers in (cast.agents, cast.customers))
    text = (
        f"Through {gateway.description} these extensions will be dialled, and"
        f" nothing else: {agents}; and then {customers}."
    )
    return textwrap.fill(text, width=110, break_on_hyphens=False)
