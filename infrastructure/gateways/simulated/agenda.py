"""Scheduled actions, by a clock that tests may move by hand."""

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[float], None]


class Agenda:
    """Actions, each with the time at which it is due. Of actions due at the same time, the first added runs first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Read the time in seconds from ``clock``."""
        self._clock = clock
        self._heap: list[tuple[float, int, Action]] = []
        self._serial = count()

    @property
    def next_due(self) -> float | None:
        """Time of the next action, if there is one."""
        return self._heap[0][0] if self._heap else None

    def put(self, due: float, action: Action) -> None:
        """Add an action; it is called with the time at which it was due."""
        heapq.heappush(self._heap, (due, next(self._serial), action))

    def run(self) -> None:
        """Run the due actions, and those that become due by that."""
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, _, action = heapq.heappop(self._heap)
            action(due)
