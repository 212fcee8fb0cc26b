"""The delivery loop: lease lanes, send what is due in them, record the results (docs/webhooks.md)."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Collection
from time import monotonic
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from application.fair_share import FairShare
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import wait_or_timeout
from infrastructure.webhooks import lane_leases
from infrastructure.webhooks.attempt import AttemptSender
from infrastructure.webhooks.lane_leases import LEASE_BEYOND_TIMEOUT_S, Delivery, LaneLease
from infrastructure.webhooks.lane_places import LanePlaces
from infrastructure.webhooks.lane_window import LaneWindow
from infrastructure.webhooks.results import AttemptResult, record_results

IN_FLIGHT_MAX = 512
HELD_MAX = 8192
FLUSH_SECONDS = 0.05
FLUSH_ROWS = 200

_BETWEEN_FILLS_S = 0.01
_PAUSE_S = 1.0
_MARGIN_S = 5.0
_DRAIN_S = 8.0
_RELEASE_S = 3.0

_logger = structlog.get_logger(__name__)


class DeliveryLoop:
    """Delivers, in any number of processes at once. When one fails, another continues as soon as its leases expire."""

    def __init__(self, pool: Pool, attempts: AttemptSender, wake: asyncio.Event, timeout: float) -> None:
        """Look for due deliveries when ``wake`` is set, and each second; ``timeout`` bounds an attempt, in seconds."""
        self._pool = pool
        self._attempts = attempts
        self._wake = wake
        self._lease_s = timeout + LEASE_BEYOND_TIMEOUT_S
        self._send_within_s = LEASE_BEYOND_TIMEOUT_S - _MARGIN_S
        self._requests = FairShare("webhook requests in flight", IN_FLIGHT_MAX)
        self._fetched = FairShare("fetched webhook deliveries", HELD_MAX)
        self._lane_places = LanePlaces()
        self._lanes: dict[UUID, LaneWindow] = {}
        self._ready: OrderedDict[int, deque[LaneWindow]] = OrderedDict()
        self._held: set[int] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._results: list[tuple[LaneWindow, AttemptResult]] = []
        self._has_results, self._has_many_results = asyncio.Event(), asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set, then finish attempts in flight and release the lanes.

        Set ``wake`` after ``stop``, so that the loop sees it at once.
        """
        recording = asyncio.create_task(self._keep_recording())
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    await self._fill()
                except (StorageUnavailable, psycopg.Error) as error:
                    _logger.warning("webhook deliveries paused", error=str(error))
                    await wait_or_timeout(stop, _PAUSE_S)
                    continue
                self._send_ready()
                await asyncio.sleep(_BETWEEN_FILLS_S)  # wake-ups of the same moment share the next round
                await wait_or_timeout(self._wake)
        finally:
            await self._shut_down(recording)

    async def _fill(self) -> None:
        """Lease lanes, fetch due deliveries of all lanes, and release the lanes in which nothing is due."""
        async with self._pool.connection() as connection:
            has_all = await self._lease(connection)
            examined = await self._fetch(connection)
            idle = {
                lane.id: lane.fence
                for lane in self._lanes.values()
                if lane.is_idle and not lane.can_send and (lane in examined or not lane.room)
            }
            if not idle:
                return
            for lane_id in idle.keys() - await lane_leases.release_lanes(connection, idle):
                self._drop(lane_id)
                if not has_all:
                    self._wake.set()

    async def _lease(self, connection: AsyncConnection) -> bool:
        """Lease lanes that are ready, as far as there are places; return whether there were enough."""
        until = monotonic() + self._send_within_s
        ready = await lane_leases.find_ready_lanes(connection)
        rooms = self._lane_places.allot(ready)
        leases: list[LaneLease] = []
        try:
            if rooms:
                leases = await lane_leases.lease_lanes(connection, rooms, seconds=self._lease_s)
        finally:
            self._lane_places.give_back(rooms, leases)
        for lease in leases:
            self._drop(lease.id)
            self._lanes[lease.id] = LaneWindow(lease, until)
        return rooms == ready

    async def _fetch(self, connection: AsyncConnection) -> Collection[LaneWindow]:
        """Fetch due deliveries of the lanes that have room for more, as far as there are places; return these lanes."""
        rooms = self._reserve_rooms()
        if not rooms:
            return ()
        fetched: list[Delivery] = []
        try:
            wanted = {lane.id: room for lane, room in rooms.items()}
            fetched = await lane_leases.read_due_heads(connection, wanted, self._held)
        finally:
            self._queue(rooms, fetched)
        return rooms.keys()

    def _reserve_rooms(self) -> dict[LaneWindow, int]:
        """Take places for the deliveries to fetch; return their number for each lane. Who got none is first the next time."""
        rooms: dict[LaneWindow, int] = {}
        for lane in self._lanes.values():
            room = min(lane.room, self._fetched.room(lane.organization_id))
            if room > 0 and self._fetched.try_acquire(lane.organization_id, room):
                rooms[lane] = room
        for lane in rooms:
            self._lanes[lane.id] = self._lanes.pop(lane.id)
        return rooms

    def _queue(self, rooms: dict[LaneWindow, int], fetched: list[Delivery]) -> None:
        """Queue what was fetched for lanes that are still leased, and return the other places."""
        for delivery in fetched:
            lane = self._lanes.get(delivery.lane_id)
            if lane in rooms:
                rooms[lane] -= 1
                lane.queue.append(delivery)
                self._held.add(delivery.number)
        for lane, left in rooms.items():
            if left:
                self._fetched.release(lane.organization_id, left)
            lane.has_more = not left
            self._mark_ready(lane)

    def _mark_ready(self, lane: LaneWindow) -> None:
        if lane.can_send and not lane.is_ready:
            lane.is_ready = True
            self._ready.setdefault(lane.organization_id, deque()).append(lane)

    def _send_ready(self) -> None:
        """Start as many attempts as there are places for: organisations round-robin, and the lanes of each."""
        blocked = 0
        while blocked < len(self._ready):
            organization_id = next(iter(self._ready))
            self._ready.move_to_end(organization_id)
            if not self._requests.room(organization_id):
                blocked += 1
            elif lane := self._next_ready(organization_id):
                blocked = 0
                self._requests.try_acquire(organization_id)
                lane.in_flight += 1
                task = asyncio.create_task(self._send(lane, lane.queue.popleft()))
                self._sending.add(task)
                task.add_done_callback(self._on_sent)
                self._mark_ready(lane)

    def _next_ready(self, organization_id: int) -> LaneWindow | None:
        """Return the organisation's next lane that can send; forget the organisation if there is none."""
        lanes = self._ready[organization_id]
        while lanes:
            lane = lanes.popleft()
            lane.is_ready = False
            if lane.can_send:
                return lane
        del self._ready[organization_id]
        return None

    async def _send(self, lane: LaneWindow, delivery: Delivery) -> None:
        try:
            result = await self._attempts.send(delivery, fence=lane.fence)
        finally:
            self._requests.release(lane.organization_id)
        lane.complete(result.response)
        if lane.has_answered and self._lanes.get(lane.id) is lane:
            self._lane_places.move(lane)
        self._results.append((lane, result))
        self._has_results.set()
        if len(self._results) >= FLUSH_ROWS:
            self._has_many_results.set()
        if lane.has_more and lane.room:
            self._wake.set()
        self._mark_ready(lane)

    def _on_sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._send_ready()

    async def _keep_recording(self) -> None:
        while True:
            await self._has_results.wait()
            await wait_or_timeout(self._has_many_results, FLUSH_SECONDS)
            try:
                await self._record()
            except (StorageUnavailable, psycopg.Error) as error:
                _logger.warning("webhook results not recorded", count=len(self._results), error=str(error))
                await asyncio.sleep(_PAUSE_S)

    async def _record(self) -> None:
        """Record the results that have arrived. When that fails, they wait for the next call."""
        batch = self._results[:]
        self._has_results.clear()
        self._has_many_results.clear()
        if not batch:
            return
        until = monotonic() + self._send_within_s
        try:
            async with self._pool.connection() as connection:
                updates = await record_results(connection, [result for _, result in batch], self._lease_s)
        except BaseException:
            self._has_results.set()
            raise
        del self._results[: len(batch)]
        for lane, result in batch:
            lane.unrecorded -= 1
            self._held.discard(result.delivery.number)
            self._fetched.release(lane.organization_id)
        for lane in {lane.id: lane for lane, _ in batch}.values():
            if self._lanes.get(lane.id) is lane:
                if lane.id in updates.lost:
                    self._drop(lane.id)
                else:
                    lane.renew(updates, until)
                    self._mark_ready(lane)
        self._wake.set()

    def _drop(self, lane_id: UUID) -> None:
        if lane := self._lanes.pop(lane_id, None):
            self._lane_places.release(lane)
            if lane.queue:
                self._fetched.release(lane.organization_id, len(lane.queue))
                self._held.difference_update(delivery.number for delivery in lane.queue)
                lane.queue.clear()

    async def _shut_down(self, recording: asyncio.Task[None]) -> None:
        held = {lane.id: lane.fence for lane in self._lanes.values()}
        for lane_id in held:
            self._drop(lane_id)
        if self._sending:
            await asyncio.wait(self._sending, timeout=_DRAIN_S)
        for task in list(self._sending):
            task.cancel()
        recording.cancel()
        await asyncio.gather(recording, *self._sending, return_exceptions=True)
        try:
            async with asyncio.timeout(_RELEASE_S):
                await self._record()
                async with self._pool.connection() as connection:
                    await lane_leases.abandon_lanes(connection, held)
        except (StorageUnavailable, TimeoutError, psycopg.Error) as error:
            _logger.warning("webhook lanes not released", lanes=len(held), error=str(error))
