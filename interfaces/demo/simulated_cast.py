"""The cast of the demo on the simulated network: 300 people with numbers in an unassigned range.

The thousands digit decides how a phone behaves: 1 answers, 2 is busy, 3 does not answer, 4 rejects, 5 is unknown, 6 meets
congestion, 7 hangs up soon, 8 is busy at first, 9 and 0 are random.
"""

from itertools import cycle, islice

from interfaces.demo.plan import Cast, Plan

TASKS = 10

_CUSTOMERS = "118119112110138114115118116117"
_AGENTS = "1" * 26 + "278"
_AGENT_COUNT = 12
_PLANS = (
    Plan(name="Доставка: согласовать время", limit=12, callbacks=180),
    Plan(name="Магазин: ответить на вопрос", limit=8, callbacks=120, later=20),
)


def simulated_cast() -> Cast:
    """Return the cast."""
    count = sum(plan.callbacks for plan in _PLANS)
    agents = islice(cycle(_AGENTS), count)
    return Cast(
        plans=_PLANS,
        lines=("1001", "1002", "1003", "1004"),
        agents=[f"{agent}{100 + i % _AGENT_COUNT}" for i, agent in enumerate(agents)],
        customers=_customers(count),
        customers_of_tasks=_customers(TASKS),
        tried_again="8",
        example=("1101", _customers(1)[0]),
    )


def _customers(count: int) -> list[str]:
    """Return the numbers of ``count`` people, one in four in national format."""
    digits = islice(cycle(_CUSTOMERS), count)
    return [f"8 (701) 000-{digit}{i:03}" if i % 4 == 1 else f"+7701000{digit}{i:03}" for i, digit in enumerate(digits)]
