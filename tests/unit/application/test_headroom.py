"""Headroom: when an organisation is counted, and what is refused between two counts."""

import asyncio

import pytest

from application.headroom import FRESH_S, Headroom, Usage
from domain.errors import LimitReached
from domain.organization.limits import Limits

pytestmark = pytest.mark.anyio

ACME, OTHER = 65, 129


class View:
    """A view of what organisations have, which lags behind the log at will, and a clock."""

    def __init__(self) -> None:
        self.usage: dict[int, Usage] = {}
        self.counted: list[int] = []
        self.now = 100.0
        self.headroom = Headroom("waiting", self.count, lambda: self.now)

    async def add(self, organization_id: int, limits: Limits, more: int = 1, *, position: int | None = None) -> None:
        """Reserve room, and record at a log position, or fail to record."""
        async with self.headroom.reserve(organization_id, limits, more) as room:
            room.position = position

    async def count(self, organization_id: int) -> Usage:
        self.counted.append(organization_id)
        return self.usage.get(organization_id, Usage(0, 0))


@pytest.fixture
def view() -> View:
    return View()


async def test_a_limit_is_exact_in_one_process_although_the_view_lags(view: View) -> None:
    limits = Limits(waiting=10)
    for position in range(1, 11):
        await view.add(ACME, limits, position=position)
        view.now += FRESH_S
    with pytest.raises(LimitReached):
        await view.add(ACME, limits)
    view.usage[ACME] = Usage(4, 10)  # the view has caught up, and six have been dialled
    await view.add(ACME, limits, 6, position=11)
    with pytest.raises(LimitReached):
        await view.add(ACME, limits)


async def test_an_organisation_is_counted_once_a_second(view: View) -> None:
    for _ in range(50):
        await view.add(ACME, Limits())
    assert view.counted == [ACME]
    view.now += FRESH_S
    await view.add(ACME, Limits())
    assert view.counted == [ACME, ACME]


async def test_nothing_is_refused_on_an_old_count(view: View) -> None:
    view.usage[ACME] = Usage(10, 5)
    await view.add(ACME, Limits(waiting=11))
    view.usage[ACME] = Usage(2, 9)
    await view.add(ACME, Limits(waiting=11), 9)
    assert view.counted == [ACME, ACME]


async def test_requests_at_the_same_moment_share_the_room_although_each_counts(view: View) -> None:
    going, admitted = asyncio.Event(), 0

    async def slow(organization_id: int) -> Usage:
        await asyncio.sleep(0)
        return Usage(2, 5)

    view.headroom = Headroom("waiting", slow, lambda: view.now)

    async def add() -> None:
        nonlocal admitted
        async with view.headroom.reserve(ACME, Limits(waiting=6)) as room:
            admitted += 1
            await going.wait()
            room.position = 6 + admitted

    tasks = [asyncio.create_task(add()) for _ in range(20)]
    for _ in range(9):  # turns of the event loop, in which all of them count
        await asyncio.sleep(0)
    going.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert admitted == 4
    assert sum(isinstance(outcome, LimitReached) for outcome in outcomes) == 16


async def test_what_was_not_recorded_leaves_its_room(view: View) -> None:
    await view.add(ACME, Limits(waiting=10), 6)
    await view.add(ACME, Limits(waiting=10), 10)


async def test_an_older_count_that_arrives_late_is_ignored(view: View) -> None:
    limits = Limits(waiting=3)
    view.usage[ACME] = Usage(3, 9)
    with pytest.raises(LimitReached):
        await view.add(ACME, limits)
    view.usage[ACME] = Usage(0, 4)
    with pytest.raises(LimitReached):
        await view.add(ACME, limits)


async def test_organisations_have_limits_of_their_own(view: View) -> None:
    view.usage[ACME] = Usage(10, 5)
    with pytest.raises(LimitReached):
        await view.add(ACME, Limits(waiting=10))
    await view.add(OTHER, Limits(waiting=10), 10)


async def test_what_is_removed_is_free_before_the_view_has_seen_it(view: View) -> None:
    limits = Limits(waiting=3)
    view.usage[ACME] = Usage(3, 9)
    with pytest.raises(LimitReached):
        await view.add(ACME, limits)
    view.headroom.free(ACME, 10)
    await view.add(ACME, limits, position=11)
    with pytest.raises(LimitReached):
        await view.add(ACME, limits)
    view.usage[ACME] = Usage(3, 11)
    with pytest.raises(LimitReached):
        await view.add(ACME, limits)
