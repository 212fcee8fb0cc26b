"""Fair shares: the places of a bounded resource, which organisations are given round-robin (docs/adr/0013-fair-shares.md).

One mechanism for every resource that organisations share: connections, requests in flight, look-ups, bytes of bodies,
channels of the switch.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Hashable, Iterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import NamedTuple
from weakref import WeakSet

from application.errors import ShareExhausted

_shares: WeakSet["FairShare"] = WeakSet()


def all_shares() -> Iterator["FairShare"]:
    """Yield the shares of this process, for its metrics."""
    yield from tuple(_shares)


class _Waiter(NamedTuple):
    places: int
    admitted: asyncio.Future[None]


class FairShare:
    """The places of a bounded resource, divided between owners (organisations, as a rule) by a dynamic threshold.

    An owner may take another place only while it holds fewer places than are free. So one owner alone holds at most half of
    the places, and an owner that holds none finds one free: of ``n`` places, the owners that come one after another take
    n/2, n/4, n/8 … (A. K. Choudhury, E. L. Hahne: Dynamic queue length thresholds for shared-memory packet switches,
    1998). Waiting owners are served round-robin, the requests of one owner in their order. Not for several threads.
    """

    def __init__(self, resource: str, places: int, *, waiting_max: int = 1000) -> None:
        """Share ``places`` places of ``resource``, which is its name in metrics.

        ``waiting_max`` bounds the requests of one owner that wait.
        """
        self.resource = resource
        self.places = places
        self.free = places
        self.waited = 0
        self.waited_s = 0.0
        self.refused = 0
        self._waiting_max = waiting_max
        self._held: dict[Hashable, int] = {}
        self._waiting: OrderedDict[Hashable, deque[_Waiter]] = OrderedDict()
        _shares.add(self)

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return sum(map(len, self._waiting.values()))

    def held(self, owner: Hashable) -> int:
        """Return the number of places that the owner holds."""
        return self._held.get(owner, 0)

    def without_room(self) -> list[Hashable]:
        """Return the owners that hold places and may take no more now."""
        return [owner for owner in self._held if not self.room(owner)]

    def is_waiting(self, owner: Hashable) -> bool:
        """Return whether a request of the owner waits."""
        return owner in self._waiting

    def room(self, owner: Hashable) -> int:
        """Return how many places the owner may take now."""
        return max(0, (self.free - self._held.get(owner, 0) + 1) // 2)

    def try_acquire(self, owner: Hashable, places: int = 1) -> bool:
        """Take places at once; return whether they were free for this owner, without a request of its own that waits."""
        if owner in self._waiting or not self._fits(owner, places):
            return False
        self._take(owner, places)
        return True

    def adopt(self, owner: Hashable, places: int = 1) -> None:
        """Take places beyond the owner's share: it holds them already, or no other owner needs any."""
        self._take(owner, places)

    async def acquire(self, owner: Hashable, places: int = 1, *, timeout_s: float) -> None:
        """Take places, waiting at most ``timeout_s`` seconds for them. Raises ShareExhausted."""
        if self.try_acquire(owner, places):
            return
        queue = self._waiting.setdefault(owner, deque())
        if len(queue) >= self._waiting_max or places > self.places:
            self._refuse(owner)
        waiter, began = _Waiter(places, asyncio.get_running_loop().create_future()), monotonic()
        queue.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter.admitted
        except TimeoutError:
            self._leave(owner, waiter)
            self._refuse(owner)
        except BaseException:
            self._leave(owner, waiter)
            raise
        finally:
            self.waited += 1
            self.waited_s += monotonic() - began

    def release(self, owner: Hashable, places: int = 1) -> None:
        """Return places, and admit requests that wait for them."""
        held = self._held.pop(owner, 0) - places
        if held:
            self._held[owner] = held
        self.free += places
        self._admit()

    @asynccontextmanager
    async def place(self, owner: Hashable, *, timeout_s: float) -> AsyncGenerator[None]:
        """Hold one place. Raises ShareExhausted when none is free for this owner within ``timeout_s`` seconds."""
        await self.acquire(owner, timeout_s=timeout_s)
        try:
            yield
        finally:
            self.release(owner)

    def _fits(self, owner: Hashable, places: int) -> bool:
        # A request for more than half of the resource is admitted while no owner holds any of it.
        return places <= self.room(owner) or (self.free == self.places and places <= self.places)

    def _take(self, owner: Hashable, places: int) -> None:
        self._held[owner] = self._held.get(owner, 0) + places
        self.free -= places

    def _admit(self) -> None:
        """Admit what fits now: one request of each owner in turn, until none fits."""
        admitted = True
        while admitted:
            admitted = False
            for owner in tuple(self._waiting):
                if not self.free:
                    return
                queue = self._waiting[owner]
                if not self._fits(owner, queue[0].places):
                    continue
                admitted = True
                waiter = queue.popleft()
                if not waiter.admitted.cancelled():  # cancelled a moment ago, and about to leave
                    self._take(owner, waiter.places)
                    waiter.admitted.set_result(None)
                self._waiting.move_to_end(owner)
                self._forget_empty(owner)

    def _leave(self, owner: Hashable, waiter: _Waiter) -> None:
        """Withdraw a request; return its places if it was admitted at the same moment."""
        if waiter.admitted.done() and not waiter.admitted.cancelled():
            self.release(owner, waiter.places)
        elif (queue := self._waiting.get(owner)) and waiter in queue:
            queue.remove(waiter)
            self._forget_empty(owner)
            self._admit()  # the request behind it may fit

    def _forget_empty(self, owner: Hashable) -> None:
        if not self._waiting.get(owner, True):
            del self._waiting[owner]

    def _refuse(self, owner: Hashable) -> None:
        self._forget_empty(owner)
        self.refused += 1
        raise ShareExhausted(self.resource)
