"""Places for leased lanes, which the organisations share; lanes to hosts that never answered share a small pool of their own."""

from collections import Counter, deque
from collections.abc import Collection, Mapping

from application.fair_share import FairShare
from infrastructure.webhooks.lane_leases import READY_MAX, LaneClass, LaneLease
from infrastructure.webhooks.lane_window import LaneWindow

LANES_MAX = READY_MAX
NEVER_ANSWERED_MAX = 64


class LanePlaces:
    """The lanes that one worker may lease at a time, by class."""

    def __init__(self) -> None:
        """Start with no lane leased."""
        self._shares = {
            True: FairShare("webhook lanes", LANES_MAX),
            False: FairShare("webhook hosts without an answer", NEVER_ANSWERED_MAX),
        }

    def allot(self, ready: Mapping[LaneClass, int]) -> dict[LaneClass, int]:
        """Take places for lanes that are ready: one for each class in turn, until all have one or none is left for them."""
        rooms: Counter[LaneClass] = Counter()
        turns = deque(ready)
        while turns:
            one = turns.popleft()
            if rooms[one] < ready[one] and self._shares[one.has_answered].try_acquire(one.organization_id):
                rooms[one] += 1
                turns.append(one)
        return {one: room for one, room in rooms.items() if room}

    def give_back(self, rooms: Mapping[LaneClass, int], leases: Collection[LaneLease]) -> None:
        """Return the places for which no lane was leased."""
        leased = Counter(lease.lane_class for lease in leases)
        for one, room in rooms.items():
            if room > leased[one]:
                self._shares[one.has_answered].release(one.organization_id, room - leased[one])

    def move(self, lane: LaneWindow) -> None:
        """Move a lane whose host has answered for the first time out of the small pool, if the other has a place for it."""
        if lane.lane_class.has_answered or not self._shares[True].try_acquire(lane.organization_id):
            return
        self.release(lane)
        lane.lane_class = LaneClass(lane.organization_id, has_answered=True)

    def release(self, lane: LaneWindow) -> None:
        """Return the place of a lane."""
        self._shares[lane.lane_class.has_answered].release(lane.organization_id)
