"""Headroom below a limit of an organisation, from a count that a view keeps."""

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from time import monotonic

import msgspec

from domain.organization.limits import Limits

FRESH_S = 1.0
"""Seconds for which a count is used again, unless the limit would refuse a request."""
_ORGANIZATIONS_MAX = 10_000


class Usage(msgspec.Struct, frozen=True):
    """A count for an organisation, as of a log position."""

    count: int
    position: int


class _Estimate:
    """The last count of an organisation, and what this process has added since."""

    def __init__(self) -> None:
        self.used = 0
        self.counted_at = -FRESH_S
        self.added: deque[tuple[int, int]] = deque()

    def set_count(self, usage: Usage, now: float) -> None:
        while self.added and self.added[0][0] <= usage.position:
            self.added.popleft()
        self.used = usage.count + sum(more for _, more in self.added)
        self.counted_at = now


class Headroom:
    """Refuses what would exceed a limit of an organisation, at the cost of at most one count a second as a rule.

    The count is as old as its view. What this process has recorded is added to it, so one process exceeds the limit at
    most by the requests that it handles at the same moment. Several processes exceed it by what the others record within
    a second, or while the view lags.
    """

    def __init__(
        self, limit: str, usage: Callable[[int], Awaitable[Usage]], clock: Callable[[], float] = monotonic
    ) -> None:
        """Watch the limit of that name; ``usage`` counts for an organisation."""
        self._limit = limit
        self._usage = usage
        self._clock = clock
        self._estimates: OrderedDict[int, _Estimate] = OrderedDict()

    async def require(self, organization_id: int, limits: Limits, more: int = 1) -> None:
        """Reserve ``more`` for the organisation until the next count. Raises LimitReached, StorageUnavailable."""
        estimate, limit = self._estimate(organization_id), getattr(limits, self._limit)
        if self._clock() - estimate.counted_at >= FRESH_S or estimate.used + more > limit:
            estimate.set_count(await self._usage(organization_id), self._clock())
        limits.require_room(self._limit, estimate.used, more)
        estimate.used += more

    def note(self, organization_id: int, position: int, more: int = 1) -> None:
        """Count what was recorded at a log position, until the view has seen it."""
        self._estimate(organization_id).added.append((position, more))

    def _estimate(self, organization_id: int) -> _Estimate:
        estimate = self._estimates.setdefault(organization_id, _Estimate())
        self._estimates.move_to_end(organization_id)
        if len(self._estimates) > _ORGANIZATIONS_MAX:
            self._estimates.popitem(last=False)
        return estimate
