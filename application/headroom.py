"""Headroom below a limit of an organisation, from a count that a view keeps."""

from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
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


class HeadroomReservation:
    """Room that a request holds below a limit or quota; ``position`` is where the log holds what it added, once that is recorded."""

    def __init__(self) -> None:
        """Start without a position."""
        self.position: int | None = None


class _Estimate:
    """The last count of an organisation, and what requests of this process have added since, or are about to add."""

    def __init__(self) -> None:
        self.usage = Usage(0, -1)
        self.counted_at = -FRESH_S
        self.reserved = 0
        self._recorded = 0
        self._unseen: deque[tuple[int, int]] = deque()

    @property
    def used(self) -> int:
        return self.usage.count + self._recorded + self.reserved

    def set_usage(self, usage: Usage, now: float) -> None:
        """Keep a count, unless a newer one arrived before it."""
        if usage.position >= self.usage.position:
            self.usage = usage
            while self._unseen and self._unseen[0][0] <= usage.position:
                self._recorded -= self._unseen.popleft()[1]
        self.counted_at = now

    def record(self, position: int, more: int) -> None:
        """Count what was recorded at a log position, until the view has seen it."""
        if position > self.usage.position:
            self._unseen.append((position, more))
            self._recorded += more


class Headroom:
    """Refuses what would exceed a limit of an organisation, at the cost of at most one count a second as a rule.

    The count is as old as its view. What this process has recorded, or is about to record, is added to it, and what it has
    removed is subtracted, so one process does not exceed the limit. Several processes exceed it by what the others record
    within a second, or while the view lags.
    """

    def __init__(
        self, limit: str, usage: Callable[[int], Awaitable[Usage]], clock: Callable[[], float] = monotonic
    ) -> None:
        """Watch the limit of that name; ``usage`` counts for an organisation."""
        self._limit = limit
        self._usage = usage
        self._clock = clock
        self._estimates: OrderedDict[int, _Estimate] = OrderedDict()

    @asynccontextmanager
    async def reserve(self, organization_id: int, limits: Limits, more: int = 1) -> AsyncGenerator[HeadroomReservation]:
        """Reserve room for ``more`` while the block records them, and sets the reservation's position.

        Raises LimitReached, StorageUnavailable.
        """
        estimate, limit = self._estimate(organization_id), getattr(limits, self._limit)
        if self._clock() - estimate.counted_at >= FRESH_S or estimate.used + more > limit:
            estimate.set_usage(await self._usage(organization_id), self._clock())
        limits.require_room(self._limit, estimate.used, more)
        estimate.reserved += more
        reservation = HeadroomReservation()
        try:
            yield reservation
        finally:
            estimate.reserved -= more
            if reservation.position is not None:
                estimate.record(reservation.position, more)

    def free(self, organization_id: int, position: int) -> None:
        """Subtract one that a log position removes, until the view has seen it: its room is free at once."""
        self._estimate(organization_id).record(position, -1)

    def _estimate(self, organization_id: int) -> _Estimate:
        estimate = self._estimates.setdefault(organization_id, _Estimate())
        self._estimates.move_to_end(organization_id)
        if len(self._estimates) > _ORGANIZATIONS_MAX:
            self._estimates.popitem(last=False)
        return estimate
