"""Capacity of the simulated network."""


class Capacity:
    """Limits of concurrent calls and of calls per second; a burst of one second's calls is allowed."""

    def __init__(self, calls: int | None = None, calls_per_second: float | None = None) -> None:
        """Limit the calls at the same time and the new calls a second; None is unlimited."""
        self._calls = calls
        self._rate = calls_per_second
        self._burst_max = max(1.0, calls_per_second or 0.0)
        self._left = self._burst_max
        self._counted_at = 0.0

    def admits(self, running: int, now: float) -> bool:
        """Return whether one more call is carried beside ``running`` others; count it as dialled then."""
        if self._calls is not None and running >= self._calls:
            return False
        if self._rate is None:
            return True
        self._left = min(self._burst_max, self._left + max(0.0, now - self._counted_at) * self._rate)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
