"""The ledger of the simulated switch: a row for each call that has ended, and the number of dials of each id."""

from collections import deque

import msgspec

from domain.callback.events import CallEnd

_ROWS_MAX = 1_000_000
_EXAMPLES_MAX = 100


class _Row(msgspec.Struct, gc=False):
    dials: int = 0
    end: CallEnd | None = None
    at: float = 0.0


class Ledger:
    """Rows of the newest million calls. As in a real switch, an id that is dialled again overwrites its row at the end."""

    def __init__(self, rows: int = _ROWS_MAX) -> None:
        """Keep at most ``rows``; the oldest are dropped first."""
        self._rows_max = rows
        self._rows: dict[str, _Row] = {}
        self._by_age: deque[str] = deque()  # finding a dict's first key is slow once many were removed from its front
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
            if len(self.examples) < _EXAMPLES_MAX:
                self.examples.append(call_id)

    def write(self, call_id: str, end: CallEnd, at: float) -> None:
        """Store how and when a call ended."""
        row = self._row(call_id)
        row.end, row.at = end, at

    def row(self, call_id: str) -> tuple[CallEnd, float] | None:
        """Return how and when the call ended, if it is known."""
        row = self._rows.get(call_id)
        return (row.end, row.at) if row and row.end else None

    def forget(self) -> None:
        """Lose the ends of calls. The numbers of dials are no part of the switch, and are kept."""
        for row in self._rows.values():
            row.end = None

    def _row(self, call_id: str) -> _Row:
        row = self._rows.get(call_id)
        if row is None:
            row = self._rows[call_id] = _Row()
            self._by_age.append(call_id)
            if len(self._rows) > self._rows_max:
                del self._rows[self._by_age.popleft()]
        return row
