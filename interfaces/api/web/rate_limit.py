"""Rate limits: a bucket for each operator, token and address, in this process (``docs/contracts/tasks.md``, Rate limits)."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address, ip_network
from math import ceil
from typing import NamedTuple

from interfaces.api.web.request_errors import TooManyRequests
from interfaces.config.settings import Settings

_KEYS_MAX = 100_000
_DROPPED_AT_ONCE = 2
_HOST_BITS = 64


class RateLimitStatus(NamedTuple):
    """A bucket after a request: the burst, the requests that remain of it, and the seconds until it is full again."""

    limit: int
    remaining: int
    reset: int


class Buckets:
    """A token bucket for each key. It refills at ``rate`` a second up to ``burst``; full buckets are dropped."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Create no bucket yet. ``clock`` returns seconds."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of buckets in memory."""
        return len(self._levels)

    def take(self, key: str) -> RateLimitStatus:
        """Take one request from the key's bucket. Raises TooManyRequests when it is empty."""
        now = self._clock()
        level = self._level(key, now)
        self._levels.pop(key, None)
        self._levels[key] = (level - 1 if level >= 1 else level, now)
        self._drop_full(now)
        if level < 1:
            raise TooManyRequests(self._burst, (1 - level) / self._rate, (self._burst - level) / self._rate)
        return RateLimitStatus(self._burst, int(level - 1), ceil((self._burst - level + 1) / self._rate))

    def refund(self, key: str) -> None:
        """Return one request to the key's bucket, because another bucket is charged for it."""
        now = self._clock()
        if key in self._levels:
            self._levels[key] = (min(self._burst, self._level(key, now) + 1), now)
            self._levels.move_to_end(key)

    def _level(self, key: str, now: float) -> float:
        level, then = self._levels.get(key, (self._burst, now))
        return min(self._burst, level + (now - then) * self._rate)

    def _drop_full(self, now: float) -> None:
        # The first bucket was used longest ago. It is dropped when it is full again, or when there are too many.
        for _ in range(_DROPPED_AT_ONCE):
            key = next(iter(self._levels))
            if self._level(key, now) < self._burst and len(self._levels) <= _KEYS_MAX:
                return
            del self._levels[key]
            if not self._levels:
                return


class RateLimits:
    """The buckets of operators, tokens and addresses."""

    def __init__(self, settings: Settings) -> None:
        """Use the rates of the settings. Without ``rate_limits`` nothing is counted."""
        self.enabled = settings.rate_limits
        self.operators = Buckets(settings.operator_rate, settings.operator_burst)
        self.tokens = Buckets(settings.token_rate, settings.token_burst)
        self.addresses = Buckets(settings.address_rate, settings.address_burst)


def address_key(host: str) -> str:
    """Return the key of an address: of IPv6 the /64 network, because one household has all its addresses."""
    try:
        address = IPv6Address(host)
    except AddressValueError:
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address) >> _HOST_BITS << _HOST_BITS, _HOST_BITS)))
