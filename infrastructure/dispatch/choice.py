"""The choice among due callbacks: which of them start now, and when the others are examined again."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from infrastructure.dispatch.due_queue import DueCallback, QueueTurn
from infrastructure.dispatch.leadership_term import LeadershipTerm


class Choice(msgspec.Struct):
    """The decisions about due callbacks: started, due again later, or set apart until the client's line is free."""

    to_start: list[DueCallback] = []
    postponed: dict[int, datetime] = {}
    busy: list[DueCallback] = []

    @property
    def is_any(self) -> bool:
        """Return whether anything was decided about any callback."""
        return bool(self.to_start or self.postponed or self.busy)


def choose(
    choice: Choice, dealt: Sequence[QueueTurn], picked: Sequence[Sequence[DueCallback]], term: LeadershipTerm
) -> None:
    """Choose the callbacks to start: for each turn the oldest of its queue that nothing prevents."""
    lines = set[int]()
    able = {rows[0].queue_id: _able(rows, choice, lines, term) for rows in picked if rows}
    for turn in dealt:
        if due := next(able.get(turn.queue_id, iter(())), None):
            choice.to_start.append(due)


def _able(rows: Iterable[DueCallback], choice: Choice, lines: set[int], term: LeadershipTerm) -> Iterator[DueCallback]:
    """Yield callbacks that may start; note those that have to wait.

    ``lines`` are those of the batch's calls to clients and probes, of which there is one at a time.
    """
    breakers = term.pacing.breakers
    for due in rows:
        limited = [due.client_line]
        if breakers.is_probe_of_line(due.a_line, due.b_line):
            limited += [due.a_line, due.b_line]
        single = {line for line in limited if line is not None}
        if due.is_line_busy:
            choice.busy.append(due)
        elif hold_s := breakers.hold_s(due.a_line, due.b_line):
            choice.postponed[due.callback_id] = term.turns.now() + timedelta(seconds=hold_s)
        elif lines.isdisjoint(single):
            lines |= single
            yield due
