"""Rate limits: a bucket for each operator, token, organisation and address (``docs/contracts/tasks.md``, Rate limits).

They are those of this process.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv6Address, ip_network
from math import ceil
from operator import attrgetter
from typing import NamedTuple

from interfaces.api.web.request_errors import TooManyRequests
from interfaces.config.settings import Settings

_KEYS_MAX = 100_000
_RECENT_KEYS_MAX = 10_000
_DROPPED_AT_ONCE = 2
_HOST_BITS = 64


class RateLimitStatus(NamedTuple):
    """A bucket after a request: the burst, the requests that remain of it, and the seconds until it is full again."""

    limit: int
    remaining: int
    reset: int


_REMAINING_REQUESTS = attrgetter("remaining")


class _Bucket(NamedTuple):
    """A bucket that had ``level`` requests at the time ``since``, in seconds."""

    level: float
    since: float
    rate: float
    burst: int

    def level_at(self, now: float) -> float:
        return min(self.burst, self.level + (now - self.since) * self.rate)


class Buckets:
    """A token bucket for each key. It refills at ``rate`` a second up to ``burst``; full buckets are dropped."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Create no bucket yet. ``clock`` returns seconds."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of buckets in memory."""
        return len(self._buckets)

    def take(self, key: str, rate: float | None = None, burst: int | None = None) -> RateLimitStatus:
        """Take one request from the key's bucket, which may have its own rate and burst.

        Raises TooManyRequests when it is empty.
        """
        now, rate, burst = self._clock(), rate or self._rate, burst or self._burst
        bucket = self._buckets.pop(key, None)
        level = burst if bucket is None else min(burst, bucket.level + (now - bucket.since) * rate)
        self._buckets[key] = _Bucket(level - 1 if level >= 1 else level, now, rate, burst)
        self._drop_full(now)
        if level < 1:
            raise TooManyRequests(burst, (1 - level) / rate, (burst - level) / rate)
        return RateLimitStatus(burst, int(level - 1), ceil((burst - level + 1) / rate))

    def refund(self, key: str) -> None:
        """Return one request to the key's bucket, because another bucket is charged for it."""
        if bucket := self._buckets.get(key):
            now = self._clock()
            self._buckets[key] = _Bucket(min(bucket.burst, bucket.level_at(now) + 1), now, bucket.rate, bucket.burst)
            self._buckets.move_to_end(key)

    def _drop_full(self, now: float) -> None:
        # The first bucket was used longest ago. It is dropped when it is full again, or when there are too many.
        for _ in range(_DROPPED_AT_ONCE):
            key, bucket = next(iter(self._buckets.items()))
            if bucket.level_at(now) < bucket.burst and len(self._buckets) <= _KEYS_MAX:
                return
            del self._buckets[key]
            if not self._buckets:
                return


class RateLimits:
    """The buckets of a process.

    ``addresses`` are charged for requests to the open intake until their operator is known, ``strangers`` for requests
    without a valid token where one is required, ``public`` for readiness and documentation: all three by address. They are
    apart, so that bad tokens do not use up what operators behind the same address need.
    """

    def __init__(self, settings: Settings) -> None:
        """Use the rates of the settings. Without ``rate_limits`` nothing is counted."""
        self.enabled = settings.rate_limits
        self.addresses = Buckets(settings.address_rate, settings.address_burst)
        self.strangers = Buckets(settings.address_rate, settings.address_burst)
        self.public = Buckets(settings.address_rate, settings.address_burst)
        self._operators = Buckets(settings.operator_rate, settings.operator_burst)
        self._tokens = Buckets(settings.token_rate, settings.token_burst)
        self._organizations = Buckets(settings.organization_rate, settings.organization_burst)

    def take_for_token(self, token_id: str, organization_id: int, own: Mapping[str, int]) -> RateLimitStatus:
        """Take a request from a token and its organisation, which may have limits of its own; return the emptier bucket.

        Raises TooManyRequests.
        """
        return min(
            self._tokens.take(token_id), self._take_for_organization(organization_id, own), key=_REMAINING_REQUESTS
        )

    def take_for_operator(
        self, number: int, organization_id: int, own: Mapping[str, int], *, has_token: bool
    ) -> RateLimitStatus:
        """Take a request from an operator, and from its organisation unless the token of the request charged it already.

        Returns the emptier bucket. Raises TooManyRequests.
        """
        status = self._operators.take(f"{organization_id}/{number}")
        if has_token:
            return status
        return min(status, self._take_for_organization(organization_id, own), key=_REMAINING_REQUESTS)

    def _take_for_organization(self, organization_id: int, own: Mapping[str, int]) -> RateLimitStatus:
        return self._organizations.take(
            str(organization_id), own.get("organization_rate"), own.get("organization_burst")
        )


class RecentKeys:
    """Hashes of operator keys that were valid lately; above 10,000, the one used longest ago is forgotten."""

    def __init__(self) -> None:
        """Start without any."""
        self._keys: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        """Return whether the key was valid lately."""
        return key in self._keys

    def add(self, key: str) -> None:
        """Remember a key."""
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > _RECENT_KEYS_MAX:
            self._keys.popitem(last=False)

    def discard(self, key: str) -> None:
        """Forget a key, which is no longer valid."""
        self._keys.pop(key, None)


def address_key(host: str) -> str:
    """Return the key of an address: of IPv6 the /64 network, because one household has all its addresses."""
    try:
        address = IPv6Address(host)
    except AddressValueError:
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address) >> _HOST_BITS << _HOST_BITS, _HOST_BITS)))
