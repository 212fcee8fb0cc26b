"""The report at the end of the demo."""

from collections import Counter

from interfaces.demo.figures import Attempts, Figures, NetworkCalls
from interfaces.demo.plan import Cast
from interfaces.demo.receiver import Receiver


def report(figures: Figures, cast: Cast, receiver: Receiver) -> str:
    """Return the text. Counters of the simulated network are omitted when a real switch was used."""
    finished, by_tasks = sum(figures.outcomes.values()), len(cast.customers_of_tasks)
    people = f"{cast.placed} people were called back{f', and {finished - cast.placed} for tasks' if by_tasks else ''}"
    delivered, sent = figures.deliveries["delivered"], sum(figures.deliveries.values())
    genuine = f"{receiver.verified.total()} verified, {receiver.refused} refused, {receiver.repeated} repeated"
    lines = [
        f"{people}, in {figures.seconds:.0f} s:",
        *_counted(figures.outcomes),
        *_calls(figures, cast),
        f"Webhooks: {delivered} of {sent} delivered; {genuine}, {receiver.disordered} out of order",
    ]
    if by_tasks:
        lines.append(f"Tasks carried out: {figures.tasks['completed']} completed, {figures.tasks['failed']} failed")
    return "\n".join(lines)


def _calls(figures: Figures, cast: Cast) -> list[str]:
    finished = sum(figures.outcomes.values())
    match figures.calls:
        case Attempts(count=count, most=most, ends=ends):
            return [
                f"Attempts: {count}, {count - finished} of them retries, by the outcome that the switch reported:",
                *_counted(ends),
                f"Most calls at once: {most} recorded; {_limits(cast)}",
            ]
        case NetworkCalls(count=count, repeated=repeated, most=most):
            return [
                f"Attempts: {count}, {count - finished} of them retries, {repeated} of them dialled twice, as the phone network counted them",
                f"Most calls at once: {most} there; {_limits(cast)}",
            ]


def _limits(cast: Cast) -> str:
    limits = [plan.limit for plan in cast.plans]
    return f"the limits are {' + '.join(map(str, limits))} = {sum(limits)}"


def _counted(what: Counter[str]) -> list[str]:
    return [f"{count:>7}  {one}" for one, count in what.most_common()]
