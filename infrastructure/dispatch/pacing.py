"""Pacing of a gateway: rate limit, channel limit and circuit breaker (docs/adr/0011-pacing.md)."""

import time
from collections.abc import Callable
from math import inf

import msgspec

from infrastructure.dispatch.breaker import CircuitBreaker
from infrastructure.dispatch.gateway_state import GatewayState

CHANNELS_PER_CALL = 2
_BURST_S = 0.1
_START_BURST_S = 0.2
_BURST_MIN = 2.0
_EPSILON = 1e-9  # the rounding error that a whole token may have


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a switch and its trunks; None is unlimited. ``channels`` is at least 2, for a callback is two calls."""

    calls_per_second: float | None = None
    channels: int | None = None


UNLIMITED = Pace()


class TokenBucket:
    """A token bucket of calls: refilled at the rate, it holds the tokens of ``burst_s`` seconds, at least two.

    It starts empty, so that consecutive leaders keep the rate together.
    """

    def __init__(
        self, per_second: float | None, clock: Callable[[], float] = time.monotonic, *, burst_s: float = _BURST_S
    ) -> None:
        """Take the rate in calls per second; None is unlimited."""
        self._rate = per_second or inf
        self._clock = clock
        self._tokens = 0.0 if per_second else inf
        self._at = clock()
        self.capacity = max(_BURST_MIN, self._rate * burst_s)

    @property
    def tokens(self) -> float:
        """Number of tokens available now."""
        if self._rate < inf:
            now = self._clock()
            self._tokens = min(self.capacity, self._tokens + (now - self._at) * self._rate)
            self._at = now
        return self._tokens + _EPSILON

    def consume(self, calls: int) -> None:
        """Remove a token for each call."""
        self._tokens -= calls

    def seconds_until(self, tokens: float) -> float:
        """Return the seconds until this many tokens are available."""
        missing = tokens - self.tokens
        return 0.0 if missing <= 0 else (missing + _EPSILON) / self._rate


class Pacing:
    """Decides how many calls may start now, during a term: by tokens, free channels and the breaker."""

    def __init__(
        self,
        pace: Pace = UNLIMITED,
        state: GatewayState | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Resume from the last leader's ``state``, read before any call of this term is started."""
        state = state or GatewayState()
        self.breaker = CircuitBreaker(state.paused_s, state.pauses, clock)
        self.dial_bucket = TokenBucket(pace.calls_per_second, clock)
        self.open_calls = state.open_calls
        self._start_bucket = TokenBucket(pace.calls_per_second, clock, burst_s=_START_BURST_S)
        self._batch_min = 1.0 if pace.calls_per_second is None else self._start_bucket.capacity / 2
        self._calls_max = inf if pace.channels is None else pace.channels // CHANNELS_PER_CALL
        self._reported = (self.breaker.paused_until, state.pauses, state.is_full)

    @property
    def is_full(self) -> bool:
        """Return whether no channels are free for another call."""
        return self.open_calls >= self._calls_max

    def room(self, in_flight: int) -> float:
        """Return how many calls may start now, while ``in_flight`` started calls have not been dialled.

        At high rates tokens accumulate for a tenth of a second, because each start costs a transaction.
        """
        if not self.breaker.is_closed and (in_flight or not self.breaker.wants_probe):
            return 0.0
        tokens = self._start_bucket.tokens
        limit = tokens if self.breaker.is_closed else min(tokens, 1)
        return max(0.0, min(limit, self._calls_max - self.open_calls)) if tokens >= self._batch_min else 0.0

    def held_by(self) -> tuple[str, float]:
        """Return what prevents calls from starting, and for how many seconds unless an event changes it."""
        if not self.breaker.is_closed:
            paused_s = self.breaker.paused_s or 0.0
            return "breaker", paused_s if paused_s > 0 else inf
        if self.is_full:
            return "channels", inf
        return "rate", self._start_bucket.seconds_until(self._batch_min)

    def started(self, calls: int) -> None:
        """Count attempts that were recorded."""
        self.open_calls += calls
        self._start_bucket.consume(calls)

    def ended(self, calls: int) -> None:
        """Count calls whose ends were recorded."""
        self.open_calls -= calls

    def changed_state(self) -> GatewayState | None:
        """Return the gateway's state if it has changed since the last call, else None."""
        current = (self.breaker.paused_until, self.breaker.pauses, self.is_full)
        if current == self._reported:
            return None
        self._reported = current
        return GatewayState(self.breaker.paused_s, self.breaker.pauses, self.is_full)
