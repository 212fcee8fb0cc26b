"""Turns of organisations: when each may have a call to start, and in which order they are served."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf

import msgspec
from psycopg import AsyncConnection

from infrastructure.dispatch.timetable_news import LONG_AGO
from infrastructure.postgres.sql import statement

_STALE_MAX = 1000
_READ = statement("""
    SELECT
        organization_id,
        nullif(max(served_at), '-infinity'),
        min(startable_at),
        bool_or(is_on AND NOT is_deleted),
        clock_timestamp()
    FROM {schema}.queue_slots
    GROUP BY organization_id
""")


class QueuesOfOrganization(msgspec.Struct, frozen=True):
    """Summary of the queues of an organisation, at the database's time ``now``."""

    organization_id: int
    served_at: datetime | None
    startable_at: datetime | None
    is_on: bool
    now: datetime


async def read_turns(connection: AsyncConnection) -> list[QueuesOfOrganization]:
    """Return the summary of each organisation that has queues."""
    return [QueuesOfOrganization(*row) for row in await (await connection.execute(_READ)).fetchall()]


class OrganizationTurns:
    """The organisations that may have calls to start, kept in memory so that a search names the few whose turn it is.

    The floor of an organisation is a time before which none of its queues can start a call. It may be too early, and a
    search then raises it; it is never too late once all news were noted. Times are those of the database.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Start empty; ``clock`` is this machine's clock, which need not agree with the database's."""
        self._clock = clock
        self._ahead = timedelta(0)
        self._floors: dict[int, datetime] = {}
        self._later: list[tuple[datetime, int]] = []
        self._ready: set[int] = set()
        self._news: dict[int, datetime] = {}  # during a search: floors that it may not have seen
        self._served: dict[int, int] = {}
        self._turns = 0
        self._on: set[int] = set()
        self._held: dict[int, datetime] = {}

    def load(self, read: Iterable[QueuesOfOrganization]) -> None:
        """Take over summaries; of organisations served in this term the order is known already."""
        rows = list(read)
        self._on = {row.organization_id for row in rows if row.is_on}
        for row in sorted(rows, key=lambda row: row.served_at or LONG_AGO):
            self.synchronize(row.now)
            if row.served_at and row.organization_id not in self._served:
                self.serve(row.organization_id)
            if row.startable_at:
                self.lower(row.organization_id, row.startable_at)

    def synchronize(self, now: datetime) -> None:
        """Note the database's present time."""
        self._ahead = now - self._clock()

    def lower(self, organization_id: int, at: datetime, *, is_on: bool = False) -> None:
        """Note that a queue of the organisation may start a call at ``at``; ``is_on``: that it may have been switched on."""
        if is_on:
            self._on.add(organization_id)
        if organization_id in self._news:
            self._news[organization_id] = min(at, self._news[organization_id])
        if at < self._floors.get(organization_id, _NEVER):
            self._put(organization_id, at)

    def hold(self, organization_id: int, until: datetime) -> None:
        """Give the organisation no turn before ``until``, also if callbacks become due. The next leader does not know it."""
        self._held[organization_id] = until

    def is_alone(self, organization_id: int) -> bool:
        """Return whether no other organisation has a queue that is on."""
        return self._on <= {organization_id}

    @property
    def are_shared(self) -> bool:
        """Return whether several organisations have queues that are on."""
        return len(self._on) > 1

    def serve(self, organization_id: int) -> None:
        """Put the organisation last in the order."""
        self._turns += 1
        self._served[organization_id] = self._turns

    def ready(self, limit: int, may_start: Callable[[int], bool]) -> list[int]:
        """Return the organisations that may have a call to start now, the one served longest ago first."""
        self._promote()
        now = self.now()
        self._held = {one: until for one, until in self._held.items() if until > now}
        able = (one for one in self._ready if one not in self._held and may_start(one))
        return heapq.nsmallest(limit, able, key=lambda one: (self._served.get(one, 0), one))

    def floors(self, organization_ids: Sequence[int]) -> list[datetime]:
        """Return the floors of organisations that are ready."""
        return [self._floors[one] for one in organization_ids]

    def begin_search(self, organization_ids: Iterable[int]) -> None:
        """Remember the news of these organisations until ``end_search``."""
        self._news = dict.fromkeys(organization_ids, _NEVER)

    def end_search(self, found: Mapping[int, datetime | None]) -> None:
        """Raise floors to what a search found: the next time of each organisation, None where nothing waits."""
        for organization_id, at in found.items():
            floor = min(at or _NEVER, self._news.get(organization_id, _NEVER))
            self._ready.discard(organization_id)
            del self._floors[organization_id]
            if floor < _NEVER:
                self._put(organization_id, floor)
        self._news = {}

    def seconds_to_next(self) -> float:
        """Return the seconds until an organisation that was not ready becomes ready; infinite: after some news.

        0 or less: its time has come since ``ready``.
        """
        self._drop_stale()
        times = [until for one, until in self._held.items() if one in self._ready]
        times += [at for at, _ in self._later[:1]]
        return (min(times) - self.now()).total_seconds() if times else inf

    def now(self) -> datetime:
        """Return the database's present time, as well as it is known."""
        return self._clock() + self._ahead

    def _put(self, organization_id: int, at: datetime) -> None:
        self._floors[organization_id] = at
        if at <= self.now():
            self._ready.add(organization_id)
            return
        if len(self._later) > 2 * len(self._floors) + _STALE_MAX:
            self._later = [(floor, one) for one, floor in self._floors.items() if one not in self._ready]
            heapq.heapify(self._later)
        heapq.heappush(self._later, (at, organization_id))

    def _promote(self) -> None:
        """Move the organisations whose time has come."""
        now = self.now()
        self._drop_stale()
        while self._later and self._later[0][0] <= now:
            self._ready.add(heapq.heappop(self._later)[1])
            self._drop_stale()

    def _drop_stale(self) -> None:
        """Drop the first entries that were replaced."""
        while self._later:
            at, organization_id = self._later[0]
            if self._floors.get(organization_id) == at and organization_id not in self._ready:
                return
            heapq.heappop(self._later)


_NEVER = datetime.max.replace(tzinfo=UTC)
