"""The breaker of a lane: a host that is ill is left alone for a while, then probed, then used gently."""

from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from infrastructure.webhooks.delivery_schedule import Health

IN_FLIGHT_MAX = 32
FAILURES_MAX = 10
WINDOW = timedelta(minutes=5)
WINDOW_REQUESTS_MIN = 10
WINDOW_FAILURE_RATE = 0.7
FIRST_PROBE = timedelta(seconds=30)
LAST_PROBE = timedelta(minutes=15)
_NEVER = datetime.fromtimestamp(0, UTC)


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """A lane's health: ``failures`` in a row, a window of requests, and how often in a row it ``opened``.

    While ``open_until`` or ``paused_until`` is to come nothing is sent; ``in_flight_max`` is how much at a time otherwise.
    """

    paused_until: datetime = _NEVER
    open_until: datetime = _NEVER
    opened: int = 0
    failures: int = 0
    window_since: datetime = _NEVER
    window_requests: int = 0
    window_failures: int = 0
    in_flight_max: int = IN_FLIGHT_MAX

    def is_parked(self, now: datetime) -> bool:
        """Whether nothing may be sent now."""
        return max(self.paused_until, self.open_until) > now

    def paused(self, until: datetime | None) -> "Breaker":
        """Answer it after a receiver asked for a pause, if it did."""
        return self if until is None else replace(self, paused_until=max(self.paused_until, until))

    def after(self, health: Health, now: datetime) -> "Breaker":
        """Answer it after an attempt that told so much about the host."""
        match health:
            case Health.UNKNOWN:
                return self
            case Health.HEALTHY:
                return self._well(now)
            case Health.FAILING:
                return self._ill(now)

    def _well(self, now: datetime) -> "Breaker":
        if self.opened:
            return Breaker(paused_until=self.paused_until, window_since=now, in_flight_max=2)
        counted = self._counted(now, failures=0)
        return replace(counted, failures=0, in_flight_max=min(2 * self.in_flight_max, IN_FLIGHT_MAX))

    def _ill(self, now: datetime) -> "Breaker":
        if self.open_until > now:
            return self  # what was on its way when it opened
        counted = self._counted(now, failures=1)
        if not (self.opened or counted.failures >= FAILURES_MAX or counted.window_is_bad):
            return counted
        pause = min(FIRST_PROBE * 2 ** min(self.opened, 10), LAST_PROBE)
        return replace(counted, open_until=now + pause, opened=self.opened + 1, in_flight_max=1)

    def _counted(self, now: datetime, *, failures: int) -> "Breaker":
        is_new = self.window_since <= now - WINDOW
        return replace(
            self,
            failures=self.failures + failures,
            window_since=now if is_new else self.window_since,
            window_requests=1 if is_new else self.window_requests + 1,
            window_failures=failures + (0 if is_new else self.window_failures),
        )

    @property
    def window_is_bad(self) -> bool:
        """Whether too many of the latest requests failed."""
        return (
            self.window_requests >= WINDOW_REQUESTS_MIN
            and self.window_failures >= WINDOW_FAILURE_RATE * self.window_requests
        )
