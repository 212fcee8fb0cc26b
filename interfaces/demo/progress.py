"""Live display of the queues: a table on a terminal, otherwise a line per queue every 5 s."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from application.queries.queue_board import Idle, QueueBoardRow

_LINE_EVERY_S = 5.0
_NAMES = ("queue", "waiting", "delayed", "calls", "finished", "answered", "idle because")
_WHY = {
    Idle.OFF: "it is off",
    Idle.NOTHING_DUE: "nothing is due",
    Idle.NUMBER_QUOTA: "its next number was called too often",
    Idle.NUMBER_CONGESTED: "its next number cannot be reached",
    Idle.UNREADABLE: "its next callback cannot be read",
    Idle.SWITCH_AWAY: "the switch is unreachable",
    Idle.BREAKER_OPEN: "calls met congestion: the circuit breaker is open",
    Idle.DAILY_QUOTA: "all calls of the day were made",
    Idle.CLIENT_BUSY: "its clients have calls",
    Idle.LIMIT_REACHED: "its limit of calls is reached",
    Idle.CHANNELS_FULL: "no channel is free",
}


@contextmanager
def showing(stream: TextIO) -> Generator[Callable[[Sequence[QueueBoardRow], int], None]]:
    """Yield a function that shows the queues and the number of webhooks on ``stream``."""
    console = Console(file=stream, markup=False, highlight=False)
    if not console.is_terminal:
        yield _Lines(stream).show
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda queues, webhooks: live.update(_table(queues, webhooks), refresh=True)


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0

    def show(self, queues: Sequence[QueueBoardRow], webhooks: int) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LINE_EVERY_S
        for queue in queues:
            name, waiting, delayed, calls, finished, answered, why = cells(queue)
            counted = f"{waiting} waiting, {delayed} delayed, {calls} calls, {finished} finished, {answered} answered"
            print(f"{name}: {counted}{why and f'; idle because {why}'}", file=self._stream)
        print(f"webhooks: {webhooks} verified", file=self._stream, flush=True)


def _table(queues: Sequence[QueueBoardRow], webhooks: int) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, caption=f"webhooks verified: {webhooks}")
    for name in _NAMES:
        table.add_column(name, justify="left" if name in {_NAMES[0], _NAMES[-1]} else "right", no_wrap=True)
    for queue in queues:
        table.add_row(*cells(queue))
    return table


def cells(queue: QueueBoardRow) -> tuple[str, ...]:
    """Return the cells of a queue's row; the last is the reason why no call starts, or empty."""
    rate = queue.answer_rate
    return (
        queue.name,
        str(queue.waiting),
        str(queue.delayed),
        f"{queue.taken} of {queue.concurrent_task_limit}",
        str(queue.succeeded + queue.failed),
        "-" if rate is None else f"{rate:.0%}",
        "" if queue.idle is None else _WHY[queue.idle],
    )
