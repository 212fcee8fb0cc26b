"""How much the simulated network carries."""


class Capacity:
    """So many calls at once, and so many a second; a second's worth may come at once."""

    def __init__(self, calls: int | None = None, calls_per_second: float | None = None) -> None:
        """None is boundless."""
        self._calls = calls
        self._rate = calls_per_second
        self._most = max(1.0, calls_per_second or 0.0)
        self._left = self._most
        self._counted_at = 0.0

    def admits(self, running: int, now: float) -> bool:
        """Answer whether one more call is carried while ``running`` others are; it counts as dialled then."""
        if self._calls is not None and running >= self._calls:
            return False
        if self._rate is None:
            return True
        self._left = min(self._most, self._left + max(0.0, now - self._counted_at) * self._rate)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
