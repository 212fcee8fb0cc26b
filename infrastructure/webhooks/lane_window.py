"""The window of a leased lane: the deliveries fetched from it, and how many of them may be in flight."""

from collections import deque
from http import HTTPStatus
from statistics import median
from time import monotonic

from infrastructure.webhooks.breaker import FAILURES_MAX
from infrastructure.webhooks.delivery_schedule import ReceiverResponse
from infrastructure.webhooks.lane_leases import Delivery, LaneLease
from infrastructure.webhooks.results import LaneUpdates

NEVER_ANSWERED_IN_FLIGHT = 1
UNPROVEN_IN_FLIGHT = 8
SLOW_SECONDS = 2.0
SLOW_IN_FLIGHT = 2
_FETCHED_PER_SLOT = 8
_SAMPLES = 21


class LaneWindow:
    """A lane that this worker leases."""

    def __init__(self, lease: LaneLease, until: float) -> None:
        """Start no attempt after ``until``, a time of the monotonic clock: it could end after the lease."""
        self.id = lease.id
        self.organization_id, self.has_answered = lease.lane_class
        self.lane_class = lease.lane_class
        """The class whose place the lane holds (``LanePlaces``)."""
        self.fence = lease.fence
        self.queue: deque[Delivery] = deque()
        self.in_flight = 0
        self.unrecorded = 0
        self.has_more = False
        self.is_ready = False
        self._until = until
        self._in_flight_max = lease.in_flight_max
        self._is_parked = False
        self._is_slow = self._is_proven = False
        self._failures = 0
        self._seconds: deque[float] = deque(maxlen=_SAMPLES)

    @property
    def limit(self) -> int:
        """The limit of attempts in flight: one until the host has ever answered, low until the host has responded well, lower when it is slow.

        Zero once the failures in a row suffice for the breaker to open when they are recorded.
        """
        if self._is_parked or self._failures >= FAILURES_MAX or monotonic() > self._until:
            return 0
        if not self.has_answered:
            return min(self._in_flight_max, NEVER_ANSWERED_IN_FLIGHT)
        if not self._is_proven:
            return min(self._in_flight_max, UNPROVEN_IN_FLIGHT)
        return min(self._in_flight_max, SLOW_IN_FLIGHT) if self._is_slow else self._in_flight_max

    @property
    def room(self) -> int:
        """The number of deliveries to fetch in addition, so that no slot waits for the next fetch."""
        wanted = _FETCHED_PER_SLOT * self.limit
        return wanted - len(self.queue) if 2 * len(self.queue) < wanted else 0

    @property
    def can_send(self) -> bool:
        """Return whether the next delivery may be sent."""
        return bool(self.queue) and self.in_flight < self.limit

    @property
    def is_idle(self) -> bool:
        """Return whether no attempt is in flight or waits to be recorded."""
        return not (self.in_flight or self.unrecorded)

    def complete(self, response: ReceiverResponse) -> None:
        """Count an attempt that has ended, and adjust the limit to the host's health and speed."""
        self.in_flight -= 1
        self.unrecorded += 1
        if not response.is_evidence:
            return
        self.has_answered |= response.status is not None
        is_well = response.status is not None and response.status < HTTPStatus.INTERNAL_SERVER_ERROR
        self._is_proven |= is_well
        self._failures = 0 if is_well else self._failures + 1
        self._seconds.append(response.seconds)
        self._is_slow = median(self._seconds) > SLOW_SECONDS

    def renew(self, updates: LaneUpdates, until: float) -> None:
        """Take over the breaker's state and the time of the extended lease."""
        breaker = updates.breakers[self.id]
        self._in_flight_max, self._until = breaker.in_flight_max, until
        self._is_parked = breaker.is_parked(updates.at)
