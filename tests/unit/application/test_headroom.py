"""Headroom: when an organisation is counted, and what is refused between two counts."""

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

    async def count(self, organization_id: int) -> Usage:
        self.counted.append(organization_id)
        return self.usage.get(organization_id, Usage(0, 0))


@pytest.fixture
def view() -> View:
    return View()


async def test_a_limit_is_exact_in_one_process_although_the_view_lags(view: View) -> None:
    limits = Limits(waiting=10)
    for position in range(1, 11):
        await view.headroom.require(ACME, limits)
        view.headroom.note(ACME, position)
        view.now += FRESH_S
    with pytest.raises(LimitReached):
        await view.headroom.require(ACME, limits)
    view.usage[ACME] = Usage(4, 10)  # the view has caught up, and six have been dialled
    await view.headroom.require(ACME, limits, 6)
    view.headroom.note(ACME, 11, 6)
    with pytest.raises(LimitReached):
        await view.headroom.require(ACME, limits)


async def test_an_organisation_is_counted_once_a_second(view: View) -> None:
    for _ in range(50):
        await view.headroom.require(ACME, Limits())
    assert view.counted == [ACME]
    view.now += FRESH_S
    await view.headroom.require(ACME, Limits())
    assert view.counted == [ACME, ACME]


async def test_nothing_is_refused_on_an_old_count(view: View) -> None:
    view.usage[ACME] = Usage(10, 5)
    await view.headroom.require(ACME, Limits(waiting=11))
    view.usage[ACME] = Usage(2, 9)
    await view.headroom.require(ACME, Limits(waiting=11), 9)
    assert view.counted == [ACME, ACME]


async def test_requests_at_the_same_moment_share_the_room(view: View) -> None:
    await view.headroom.require(ACME, Limits(waiting=10), 6)
    view.usage[ACME] = Usage(6, 5)
    with pytest.raises(LimitReached):
        await view.headroom.require(ACME, Limits(waiting=10), 5)


async def test_organisations_have_limits_of_their_own(view: View) -> None:
    view.usage[ACME] = Usage(10, 5)
    with pytest.raises(LimitReached):
        await view.headroom.require(ACME, Limits(waiting=10))
    await view.headroom.require(OTHER, Limits(waiting=10), 10)
