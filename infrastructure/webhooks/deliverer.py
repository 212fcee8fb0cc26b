"""Leases lanes, sends what is due in them, and records what came of it (webhooks.md, Tables and lanes)."""

import asyncio
from collections import deque
from time import monotonic
from uuid import UUID

import psycopg
import structlog

from application.errors import StorageUnavailable
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import wait_or_timeout
from infrastructure.webhooks import lane_leases
from infrastructure.webhooks.attempt import AttemptSender
from infrastructure.webhooks.lane_leases import LEASE_BEYOND_TIMEOUT_S, Delivery
from infrastructure.webhooks.lane_window import LaneWindow
from infrastructure.webhooks.results import AttemptResult, record_results

IN_FLIGHT_MAX = 512
LANES_MAX = 256
HELD_MAX = 8192
FLUSH_SECONDS = 0.05
FLUSH_ROWS = 200

_BETWEEN_FILLS_S = 0.01
_PAUSE_S = 1.0
_MARGIN_S = 5.0
_DRAIN_S = 8.0
_PARTING_S = 3.0

_logger = structlog.get_logger(__name__)


class DeliveryLoop:
    """Delivers, in any number of processes at once. Whatever befalls one, another goes on when its leases run out."""

    def __init__(self, pool: Pool, attempts: AttemptSender, wake: asyncio.Event, timeout: float) -> None:
        """Look for what is due whenever ``wake`` is set, and each second; an attempt takes ``timeout`` seconds at most."""
        self._pool = pool
        self._attempts = attempts
        self._wake = wake
        self._lease_s = timeout + LEASE_BEYOND_TIMEOUT_S
        self._begin_s = LEASE_BEYOND_TIMEOUT_S - _MARGIN_S
        self._lanes: dict[UUID, LaneWindow] = {}
        self._listed: deque[LaneWindow] = deque()
        self._held: set[int] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._results: list[tuple[LaneWindow, AttemptResult]] = []
        self._some, self._many = asyncio.Event(), asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set and somebody wakes; then end what is under way, and release the lanes."""
        recording = asyncio.create_task(self._keep_recording())
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    await self._fill()
                except (StorageUnavailable, psycopg.Error) as error:
                    _logger.warning("webhooks pause", error=str(error))
                    await wait_or_timeout(stop, _PAUSE_S)
                    continue
                self._send_on()
                await asyncio.sleep(_BETWEEN_FILLS_S)  # who wakes at the same time shares the next
                await wait_or_timeout(self._wake)
        finally:
            await self._end(recording)

    async def _fill(self) -> None:
        """Take what is due from our lanes and from new ones, and give up lanes in which nothing is."""
        async with self._pool.connection() as connection:
            free = min(IN_FLIGHT_MAX - len(self._sending), LANES_MAX - len(self._lanes), HELD_MAX - len(self._held))
            if free > 0:
                until = monotonic() + self._begin_s
                for leased in await lane_leases.lease_lanes(connection, most=free, seconds=self._lease_s):
                    self._drop(leased.id)
                    self._lanes[leased.id] = LaneWindow(leased, until)
            rooms = self._rooms()
            if rooms:
                self._take(rooms, await lane_leases.read_due_heads(connection, rooms, self._held))
            idle = [lane for lane in self._lanes.values() if lane.is_untouched and not lane.can_send]
            for lane in idle:
                self._drop(lane.id)
            if idle:
                await lane_leases.release_lanes(connection, [(lane.id, lane.fence) for lane in idle])

    def _rooms(self) -> dict[UUID, int]:
        left = HELD_MAX - len(self._held)
        rooms: dict[UUID, int] = {}
        for lane in self._lanes.values():
            if (room := min(lane.room, left)) > 0:
                rooms[lane.id] = room
                left -= room
        return rooms

    def _take(self, rooms: dict[UUID, int], taken: list[Delivery]) -> None:
        for delivery in taken:
            rooms[delivery.lane_id] -= 1
            self._lanes[delivery.lane_id].queue.append(delivery)
            self._held.add(delivery.number)
        for lane_id, left in rooms.items():
            lane = self._lanes[lane_id]
            lane.has_more = not left
            self._list(lane)

    def _list(self, lane: LaneWindow) -> None:
        if lane.can_send and not lane.is_listed:
            lane.is_listed = True
            self._listed.append(lane)

    def _send_on(self) -> None:
        """Begin as much as there is room for, from one lane after the other."""
        while self._listed and len(self._sending) < IN_FLIGHT_MAX:
            lane = self._listed.popleft()
            lane.is_listed = False
            if lane.can_send:
                lane.in_flight += 1
                task = asyncio.create_task(self._send(lane, lane.queue.popleft()))
                self._sending.add(task)
                task.add_done_callback(self._sent)
                self._list(lane)

    async def _send(self, lane: LaneWindow, delivery: Delivery) -> None:
        result = await self._attempts.make(delivery, fence=lane.fence)
        lane.answered(result.answer)
        self._results.append((lane, result))
        self._some.set()
        if len(self._results) >= FLUSH_ROWS:
            self._many.set()
        if lane.has_more and lane.room:
            self._wake.set()
        self._list(lane)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._send_on()

    async def _keep_recording(self) -> None:
        while True:
            await self._some.wait()
            await wait_or_timeout(self._many, FLUSH_SECONDS)
            try:
                await self._record()
            except (StorageUnavailable, psycopg.Error) as error:
                _logger.warning("webhook results wait", count=len(self._results), error=str(error))
                await asyncio.sleep(_PAUSE_S)

    async def _record(self) -> None:
        """Record what has come in. When that fails it waits for the next time."""
        batch = self._results[:]
        self._some.clear()
        self._many.clear()
        if not batch:
            return
        until = monotonic() + self._begin_s
        try:
            async with self._pool.connection() as connection:
                recorded = await record_results(connection, [result for _, result in batch], self._lease_s)
        except BaseException:
            self._some.set()
            raise
        del self._results[: len(batch)]
        for lane, result in batch:
            lane.unrecorded -= 1
            self._held.discard(result.delivery.number)
        for lane in {lane.id: lane for lane, _ in batch}.values():
            if self._lanes.get(lane.id) is lane:
                if lane.id in recorded.lost:
                    self._drop(lane.id)
                else:
                    lane.follow(recorded, until)
                    self._list(lane)
        self._wake.set()

    def _drop(self, lane_id: UUID) -> None:
        if lane := self._lanes.pop(lane_id, None):
            self._held.difference_update(delivery.number for delivery in lane.queue)
            lane.queue.clear()

    async def _end(self, recording: asyncio.Task[None]) -> None:
        held = list(self._lanes.values())
        for lane in held:
            self._drop(lane.id)
        if self._sending:
            await asyncio.wait(self._sending, timeout=_DRAIN_S)
        for task in list(self._sending):
            task.cancel()
        recording.cancel()
        await asyncio.gather(recording, *self._sending, return_exceptions=True)
        try:
            async with asyncio.timeout(_PARTING_S):
                await self._record()
                async with self._pool.connection() as connection:
                    await lane_leases.release_lanes(connection, [(lane.id, lane.fence) for lane in held])
        except (StorageUnavailable, TimeoutError, psycopg.Error) as error:
            _logger.warning("webhooks left to others", lanes=len(held), error=str(error))
