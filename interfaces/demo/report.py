"""What came of the callbacks."""

from collections import Counter
from typing import Any

import msgspec

from interfaces.bootstrap import Counts
from interfaces.demo.caller import Caller
from interfaces.demo.exchange import QUEUES, Exchange
from interfaces.demo.plan import PLANS
from interfaces.demo.receiver import Receiver


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How it went. ``outcomes`` and ``tasks`` count what callbacks and tasks came to, ``deliveries`` webhooks by state.

    ``before`` and ``after`` are what the phone network had counted; ``seconds`` is how long it took.
    """

    outcomes: Counter[str]
    tasks: Counter[str]
    deliveries: Counter[str]
    before: Counts
    after: Counts
    seconds: float


async def outcomes(admin: Caller, exchange: Exchange) -> Counter[str]:
    """Answer how many callbacks came to what. Raises DemoFailed, httpx.HTTPError."""
    counted: Counter[str] = Counter()
    for queue_id in exchange.queue_ids:
        rows: list[dict[str, Any]] = (await admin.ask("GET", f"{QUEUES}{queue_id}/task/")).json()
        counted.update(_outcome(row) for row in rows)
    return counted


async def deliveries(admin: Caller) -> Counter[str]:
    """Answer how many webhooks are in which state. Raises DemoFailed, httpx.HTTPError."""
    counted: Counter[str] = Counter()
    after: int | None = 0
    while after is not None:
        page = (await admin.ask("GET", "/v1/webhook-deliveries", after=after, limit=1_000)).json()
        counted.update(delivery["state"] for delivery in page["items"])
        after = page["next"]
    return counted


def report(figures: Figures, receiver: Receiver) -> str:
    """Answer the text."""
    placed, finished = sum(plan.callbacks for plan in PLANS), sum(figures.outcomes.values())
    attempts = figures.after.placed - figures.before.placed
    limits = [plan.limit for plan in PLANS]
    repeated = f"{figures.after.dialled_again} of them dialled twice"
    delivered, sent = figures.deliveries["delivered"], sum(figures.deliveries.values())
    genuine = f"{receiver.verified.total()} verified, {receiver.refused} refused, {receiver.repeated} repeated"
    lines = [
        f"{placed} people were called back, and {finished - placed} for tasks, in {figures.seconds:.0f} s:",
        *(f"{count:>7}  {outcome}" for outcome, count in figures.outcomes.most_common()),
        f"Attempts: {attempts}, {attempts - finished} of them retries, {repeated}, as the phone network counted them",
        f"Most calls at once: {figures.after.most} there; the limits are {' + '.join(map(str, limits))} = {sum(limits)}",
        f"Webhooks: {delivered} of {sent} delivered; {genuine}, {receiver.disordered} out of order",
        f"Tasks carried out: {figures.tasks['completed']} completed, {figures.tasks['failed']} failed",
    ]
    return "\n".join(lines)


def _outcome(row: dict[str, Any]) -> str:
    why = str(row["finish_comment"]).partition(" (")[0]  # what the switch said stands in brackets
    return f"{row['finish_result']}: {why}"
