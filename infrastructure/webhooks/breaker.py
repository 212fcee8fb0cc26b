"""The circuit breaker of a lane: a failing host gets a pause, then one probe, then few requests at a time."""

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
    """The state of a lane's breaker.

    ``failures`` counts failures in a row, ``opened`` how often in a row the breaker opened; ``window_…`` count the
    requests and failures of a window of five minutes. Before ``open_until`` and ``paused_until`` nothing is sent;
    after, at most ``in_flight_max`` deliveries at a time.
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
        """Return whether nothing may be sent now."""
        return max(self.paused_until, self.open_until) > now

    def paused(self, until: datetime | None) -> "Breaker":
        """Return the breaker after a receiver requested a pause, or itself if ``until`` is None."""
        return self if until is None else replace(self, paused_until=max(self.paused_until, until))

    def after(self, health: Health, now: datetime) -> "Breaker":
        """Return the breaker after an attempt that showed this health of the host."""
        match health:
            case Health.UNKNOWN:
                return self
            case Health.HEALTHY:
                return self._after_success(now)
            case Health.FAILING:
                return self._after_failure(now)

    def _after_success(self, now: datetime) -> "Breaker":
        if self.opened:
            return Breaker(paused_until=self.paused_until, window_since=now, in_flight_max=2)
        counted = self._counted(now, failures=0)
        return replace(counted, failures=0, in_flight_max=min(2 * self.in_flight_max, IN_FLIGHT_MAX))

    def _after_failure(self, now: datetime) -> "Breaker":
        if self.open_until > now:
            return self  # the attempt was in flight when the breaker opened
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
        """Return whether the failure rate of the window is too high."""
        return (
            self.window_requests >= WINDOW_REQUESTS_MIN
            and self.window_failures >= WINDOW_FAILURE_RATE * self.window_requests
        )
