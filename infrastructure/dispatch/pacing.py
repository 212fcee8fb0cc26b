"""Pacing of a gateway: rate limit, channel limit and circuit breaker (docs/adr/0011-pacing.md)."""

import time
from collections.abc import Callable, Mapping
from math import inf

import msgspec

from application.fair_share import FairShare
from infrastructure.dispatch.breakers import Breakers
from infrastructure.dispatch.gateway_state import GatewayState

CHANNELS_PER_CALL = 2
IN_FLIGHT_MAX = (
    4000  # calls that wait for their webhooks, or for the switch's response: of one organisation half as many
)
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
        self.breakers = Breakers(state.paused_s, state.pauses, state.organizations, clock)
        self.dial_bucket = TokenBucket(pace.calls_per_second, clock)
        self._in_flight = FairShare("calls in flight", IN_FLIGHT_MAX)
        self._channels = None if pace.channels is None else FairShare("channels", pace.channels // CHANNELS_PER_CALL)
        self.open_calls = 0
        self._start_bucket = TokenBucket(pace.calls_per_second, clock, burst_s=_START_BURST_S)
        self._batch_min = 1.0 if pace.calls_per_second is None else self._start_bucket.capacity / 2
        for organization_id, calls in state.open_calls.items():
            self._adopt(organization_id, calls)
        self._examined: tuple[int, float | None, int, bool] | None = None
        self._reported = (self.breakers.state, state.is_full)

    @property
    def is_full(self) -> bool:
        """Return whether no channels are free for another call."""
        return self._channels is not None and self._channels.free <= 0

    @property
    def in_flight(self) -> int:
        """Number of calls that were started, or are about to be, and were not yet accepted or refused by the switch."""
        return self._in_flight.places - self._in_flight.free

    def room(self) -> float:
        """Return how many calls may start now, of all organisations together.

        At high rates tokens accumulate for a tenth of a second, because each start costs a transaction.
        """
        breaker = self.breakers.gateway
        if not breaker.is_closed and (self.in_flight or not breaker.wants_probe):
            return 0.0
        tokens = self._start_bucket.tokens
        limit = tokens if breaker.is_closed else min(tokens, 1)
        free = self._in_flight.free if self._channels is None else min(self._in_flight.free, self._channels.free)
        return max(0.0, min(limit, free)) if tokens >= self._batch_min else 0.0

    def has_place(self, organization_id: int, *, is_alone: bool) -> bool:
        """Return whether the organisation may start a call, beside the calls of the others; ``is_alone``: there are none."""
        channels = self._channels
        if not self._in_flight.room(organization_id):
            return False
        if not self.breakers.may_start(organization_id, self._in_flight.held(organization_id)):
            return False
        return channels is None or channels.room(organization_id) > 0 or (is_alone and channels.free > 0)

    def take_place(self, organization_id: int, *, is_alone: bool) -> bool:
        """Take the places of a call that is about to be started, if there are any for the organisation."""
        if not self.has_place(organization_id, is_alone=is_alone):
            return False
        self._in_flight.adopt(organization_id)
        self._adopt(organization_id, 1)
        return True

    def give_back(self, calls: Mapping[int, int]) -> None:
        """Return the places of calls that were not started after all, by organisation."""
        for organization_id, count in calls.items():
            self._in_flight.release(organization_id, count)
        self.ended(calls)

    def dialled(self, organization_id: int) -> None:
        """Note that the switch has accepted or refused a call, or that it is not going to be dialled."""
        self._in_flight.release(organization_id)

    def full_for(self) -> list[int]:
        """Return the organisations that hold their share of the channels."""
        holders = self._channels.without_room() if self._channels else ()
        return [one for one in holders if isinstance(one, int)]

    def held_by(self) -> tuple[str, float]:
        """Return what prevents calls from starting, and for how many seconds unless an event changes it."""
        if not self.breakers.gateway.is_closed:
            paused_s = self.breakers.gateway.paused_s or 0.0
            return "breaker", paused_s if paused_s > 0 else inf
        if self.is_full:
            return "channels", inf
        return "rate", self._start_bucket.seconds_until(self._batch_min)

    def started(self, calls: int) -> None:
        """Count attempts that were recorded."""
        self._start_bucket.consume(calls)

    def ended(self, calls: Mapping[int, int]) -> None:
        """Return the channels of calls whose ends were recorded, by organisation."""
        for organization_id, count in calls.items():
            self.open_calls -= count
            if self._channels:
                self._channels.release(organization_id, count)

    def _adopt(self, organization_id: int, calls: int) -> None:
        self.open_calls += calls
        if self._channels:
            self._channels.adopt(organization_id, calls)

    def changed_state(self) -> GatewayState | None:
        """Return the gateway's state if it has changed since the last call, else None."""
        gateway = self.breakers.gateway
        examined = (self.breakers.changes, gateway.paused_until, gateway.pauses, self.is_full)
        if examined == self._examined:
            return None  # the state of all organisations is not built each time that the dispatch loop asks
        self._examined = examined
        current = (self.breakers.state, self.is_full)
        if current == self._reported:
            return None
        self._reported = current
        return GatewayState(
            gateway.paused_s, gateway.pauses, self.is_full, organizations=self.breakers.paused_organizations
        )
