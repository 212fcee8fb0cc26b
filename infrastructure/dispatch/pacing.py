"""How fast a gateway's calls may start, and how many may run (telephony, Pacing; docs/adr/0011-pacing.md)."""

import time
from collections.abc import Callable
from math import inf

import msgspec

from infrastructure.dispatch.breaker import Breaker
from infrastructure.dispatch.gateway_state import Standing

CHANNELS_OF_A_CALL = 2
_BURST_S = 0.1
_GATHERED_S = 0.2
_LEAST_BURST = 2.0
_HAIR = 1e-9  # what floating point may take off a whole token


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """What a switch and its trunks bear; None is boundless. ``channels`` is 2 at least, for a callback is two calls."""

    calls_per_second: float | None = None
    channels: int | None = None


BOUNDLESS = Pace()


class Bucket:
    """Tokens, one for each call: they come at the rate, and those of ``burst_s`` seconds, or two, are kept for a burst.

    It begins empty: leaders that follow one another keep the rate together.
    """

    def __init__(
        self, per_second: float | None, clock: Callable[[], float] = time.monotonic, *, burst_s: float = _BURST_S
    ) -> None:
        """None is boundless."""
        self._rate = per_second or inf
        self._clock = clock
        self._tokens = 0.0 if per_second else inf
        self._at = clock()
        self.most = max(_LEAST_BURST, self._rate * burst_s)

    @property
    def tokens(self) -> float:
        """How many there are by now."""
        if self._rate < inf:
            now = self._clock()
            self._tokens = min(self.most, self._tokens + (now - self._at) * self._rate)
            self._at = now
        return self._tokens + _HAIR

    def take(self, calls: int) -> None:
        """Take as many, of ``tokens``."""
        self._tokens -= calls

    def seconds_until(self, tokens: float) -> float:
        """Answer how long it takes until there are so many."""
        left = tokens - self.tokens
        return 0.0 if left <= 0 else (left + _HAIR) / self._rate


class Pacing:
    """What may start now, for a term of leadership: tokens, free channels and the breaker decide."""

    def __init__(
        self,
        pace: Pace = BOUNDLESS,
        standing: Standing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on where the gateway's last leader left off: ``standing`` as read before anything was started."""
        standing = standing or Standing()
        self.breaker = Breaker(standing.paused_s, standing.pauses, clock)
        self.placing = Bucket(pace.calls_per_second, clock)
        self.open_calls = standing.open_calls
        self._starting = Bucket(pace.calls_per_second, clock, burst_s=_GATHERED_S)
        self._batch = 1.0 if pace.calls_per_second is None else self._starting.most / 2
        self._most = inf if pace.channels is None else pace.channels // CHANNELS_OF_A_CALL
        self._shown = (self.breaker.until, standing.pauses, standing.is_full)

    @property
    def is_full(self) -> bool:
        """Whether no channels are left for another call."""
        return self.open_calls >= self._most

    def room(self, in_hand: int) -> float:
        """Answer how many calls may start now, while so many that started have not been dialled.

        At high rates tokens are left to gather for a tenth of a second: each start costs a transaction.
        """
        if not self.breaker.is_closed and (in_hand or not self.breaker.wants_probe):
            return 0.0
        tokens = self._starting.tokens
        most = tokens if self.breaker.is_closed else min(tokens, 1)
        return max(0.0, min(most, self._most - self.open_calls)) if tokens >= self._batch else 0.0

    def held_by(self) -> tuple[str, float]:
        """Answer what keeps calls from starting, and for how many seconds if nothing is heard meanwhile."""
        if not self.breaker.is_closed:
            paused_s = self.breaker.paused_s or 0.0
            return "breaker", paused_s if paused_s > 0 else inf
        if self.is_full:
            return "channels", inf
        return "rate", self._starting.seconds_until(self._batch)

    def started(self, calls: int) -> None:
        """Note attempts that were put on record."""
        self.open_calls += calls
        self._starting.take(calls)

    def ended(self, calls: int) -> None:
        """Note calls whose ends were put on record."""
        self.open_calls -= calls

    def news(self) -> Standing | None:
        """Answer how the gateway stands if it has changed since the last time."""
        shown = (self.breaker.until, self.breaker.pauses, self.is_full)
        if shown == self._shown:
            return None
        self._shown = shown
        return Standing(self.breaker.paused_s, self.breaker.pauses, self.is_full)
