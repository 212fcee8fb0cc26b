"""Rate limits: a token bucket for each operator, token and address, in this process's memory (contract 1, Rate limits)."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address, ip_network
from math import ceil
from typing import NamedTuple

from interfaces.api.web.request_errors import TooManyRequests
from interfaces.config.settings import Settings

_KEYS_MAX = 100_000
_SWEPT_AT_ONCE = 2
_HOST_BITS = 64


class RateLimitStatus(NamedTuple):
    """Where somebody stands: ``limit`` is the burst, ``remaining`` what is left of it, ``reset`` when all is, in seconds."""

    limit: int
    remaining: int
    reset: int


class Buckets:
    """A bucket for each key. It refills at ``rate`` a second up to ``burst``; a full one is forgotten."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell time by ``clock``, in seconds."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Count the keys that are remembered."""
        return len(self._levels)

    def take(self, key: str) -> RateLimitStatus:
        """Take one from the key's bucket. Raises TooManyRequests when it is empty."""
        now = self._clock()
        level = self._level(key, now)
        self._levels.pop(key, None)
        self._levels[key] = (level - 1 if level >= 1 else level, now)
        self._sweep(now)
        if level < 1:
            raise TooManyRequests(self._burst, (1 - level) / self._rate, (self._burst - level) / self._rate)
        return RateLimitStatus(self._burst, int(level - 1), ceil((self._burst - level + 1) / self._rate))

    def refund(self, key: str) -> None:
        """Put one back into the key's bucket: somebody else pays."""
        now = self._clock()
        if key in self._levels:
            self._levels[key] = (min(self._burst, self._level(key, now) + 1), now)
            self._levels.move_to_end(key)

    def _level(self, key: str, now: float) -> float:
        level, then = self._levels.get(key, (self._burst, now))
        return min(self._burst, level + (now - then) * self._rate)

    def _sweep(self, now: float) -> None:
        # The first is the one that took longest ago: by then it is full, or there are too many.
        for _ in range(_SWEPT_AT_ONCE):
            key = next(iter(self._levels))
            if self._level(key, now) < self._burst and len(self._levels) <= _KEYS_MAX:
                return
            del self._levels[key]
            if not self._levels:
                return


class RateLimits:
    """The three limits of contract 1."""

    def __init__(self, settings: Settings) -> None:
        """Count as the settings say; without ``rate_limits`` nothing is counted."""
        self.on = settings.rate_limits
        self.operators = Buckets(settings.operator_rate, settings.operator_burst)
        self.tokens = Buckets(settings.token_rate, settings.token_burst)
        self.addresses = Buckets(settings.address_rate, settings.address_burst)


def address_key(host: str) -> str:
    """Answer what an address is counted as: of IPv6 the /64, since one household has that many addresses."""
    try:
        address = IPv6Address(host)
    except AddressValueError:
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address) >> _HOST_BITS << _HOST_BITS, _HOST_BITS)))
