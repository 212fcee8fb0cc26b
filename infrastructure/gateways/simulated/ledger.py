"""The simulated switch's ledger: a row for each call that has ended, and how often each id was dialled."""

from collections import deque

import msgspec

from domain.callback.events import CallEnd

_ROWS = 1_000_000
_EXAMPLES = 100


class _Row(msgspec.Struct, gc=False):
    dials: int = 0
    end: CallEnd | None = None
    at: float = 0.0


class Ledger:
    """The newest million calls. As in a real switch an id that is dialled again overwrites its row in the end."""

    def __init__(self, rows: int = _ROWS) -> None:
        """Keep so many rows; the oldest go first."""
        self._most = rows
        self._rows: dict[str, _Row] = {}
        self._by_age: deque[str] = deque()  # the first of a dict is slow to find once many were taken from its front
        self.dials = self.most_dials = self.dialled_again = 0
        self.examples: list[str] = []

    def dialled(self, call_id: str) -> None:
        """Count a dial."""
        row = self._row(call_id)
        row.dials += 1
        self.dials += 1
        self.most_dials = max(self.most_dials, row.dials)
        if row.dials == 2:  # noqa: PLR2004 - the second time
            self.dialled_again += 1
            if len(self.examples) < _EXAMPLES:
                self.examples.append(call_id)

    def write(self, call_id: str, end: CallEnd, at: float) -> None:
        """Put down how a call ended, and when."""
        row = self._row(call_id)
        row.end, row.at = end, at

    def row(self, call_id: str) -> tuple[CallEnd, float] | None:
        """Answer how the call ended and when, if it is known."""
        row = self._rows.get(call_id)
        return (row.end, row.at) if row and row.end else None

    def forget(self) -> None:
        """Lose how calls ended; how often they were dialled is no part of the switch, and stays known."""
        for row in self._rows.values():
            row.end = None

    def _row(self, call_id: str) -> _Row:
        row = self._rows.get(call_id)
        if row is None:
            row = self._rows[call_id] = _Row()
            self._by_age.append(call_id)
            if len(self._rows) > self._most:
                del self._rows[self._by_age.popleft()]
        return row
