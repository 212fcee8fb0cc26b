"""A lane in the hands of a worker: what it took from it, and how much of that may be under way."""

from collections import deque
from http import HTTPStatus
from statistics import median
from time import monotonic

from infrastructure.webhooks.breaker import FAILURES_MAX
from infrastructure.webhooks.delivery_schedule import ReceiverResponse
from infrastructure.webhooks.lane_leases import Delivery, LaneLease
from infrastructure.webhooks.results import LaneUpdates

UNPROVEN_IN_FLIGHT = 8
SLOW_SECONDS = 2.0
SLOW_IN_FLIGHT = 2
_TAKEN_PER_SLOT = 8
_REMEMBERED = 21


class LaneWindow:
    """A lane that this worker holds."""

    def __init__(self, leased: LaneLease, until: float) -> None:
        """Hold it until that time of the monotonic clock; nothing is begun that could end later."""
        self.id = leased.id
        self.fence = leased.fence
        self.queue: deque[Delivery] = deque()
        self.in_flight = 0
        self.unrecorded = 0
        self.has_more = False
        self.is_listed = False
        self._until = until
        self._most = leased.in_flight_max
        self._is_parked = False
        self._is_slow = self._is_proven = False
        self._failures = 0
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def limit(self) -> int:
        """How many may be under way: few until the host has answered well, fewer when it is slow.

        None after so many failures in a row that the breaker, once they are recorded, may open.
        """
        if self._is_parked or self._failures >= FAILURES_MAX or monotonic() > self._until:
            return 0
        if not self._is_proven:
            return min(self._most, UNPROVEN_IN_FLIGHT)
        return min(self._most, SLOW_IN_FLIGHT) if self._is_slow else self._most

    @property
    def room(self) -> int:
        """How many more to take: so many that nobody waits for the next to be fetched."""
        wanted = _TAKEN_PER_SLOT * self.limit
        return wanted - len(self.queue) if 2 * len(self.queue) < wanted else 0

    @property
    def can_send(self) -> bool:
        """Whether the next may be sent."""
        return bool(self.queue) and self.in_flight < self.limit

    @property
    def is_untouched(self) -> bool:
        """Whether nothing of it is on its way, or waits to be recorded."""
        return not (self.in_flight or self.unrecorded)

    def answered(self, answer: ReceiverResponse) -> None:
        """Note an attempt that has ended."""
        self.in_flight -= 1
        self.unrecorded += 1
        is_well = answer.status is not None and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        self._is_proven |= is_well
        self._failures = 0 if is_well else self._failures + 1
        self._seconds.append(answer.seconds)
        self._is_slow = median(self._seconds) > SLOW_SECONDS

    def follow(self, recorded: LaneUpdates, until: float) -> None:
        """Do as the breaker says from now on; the lease was extended."""
        breaker = recorded.breakers[self.id]
        self._most, self._until = breaker.in_flight_max, until
        self._is_parked = breaker.is_parked(recorded.at)
