"""Log positions of the changes that this process made: the basis of read-your-writes."""

from collections import OrderedDict

_ORGANIZATIONS_MAX = 10_000


class WrittenPositions:
    """The log position of this process's latest change of each organisation; lists wait for it."""

    def __init__(self) -> None:
        """Start without any change."""
        self._positions: OrderedDict[int, int] = OrderedDict()

    def record(self, organization_id: int, position: int) -> None:
        """Record a change. Above 10,000 organisations, the one that wrote least recently is forgotten."""
        self._positions[organization_id] = max(position, self._positions.pop(organization_id, 0))
        if len(self._positions) > _ORGANIZATIONS_MAX:
            self._positions.popitem(last=False)

    def latest(self, organization_id: int) -> int:
        """Return the position of the organisation's latest change; 0 if none is known."""
        return self._positions.get(organization_id, 0)
