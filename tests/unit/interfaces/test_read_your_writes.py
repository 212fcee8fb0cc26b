"""A list after a change: how often the page is fetched, and what is waited for."""

from typing import Any, NamedTuple, cast

import pytest

from interfaces.api.web.read_your_writes import read_after_writes

pytestmark = pytest.mark.anyio


class Page(NamedTuple):
    position: int


class Request:
    """The context of a request whose organisation has made a change at ``written``; the view is at ``position``."""

    def __init__(self, *, written: int = 0, position: int = 0, reached: int = 0) -> None:
        self.api = self.services = self.views = self.written_positions = self
        self.organization_id = 1
        self.shown_positions: dict[str, int] = {}
        self.written, self.position, self.reached = written, position, reached
        self.steps: list[str] = []

    def latest(self, organization_id: int) -> int:
        assert organization_id == self.organization_id
        return self.written

    async def wait_for(self, view: str, position: int, timeout_s: float) -> bool:
        """Move the view to where it comes while a request waits for it."""
        assert timeout_s == 1.0
        self.steps.append(f"wait for {view} at {position}")
        self.position = max(self.position, self.reached)
        return self.position >= position

    async def read(self, position: int = 0, *, also: tuple[str, ...] = ()) -> int:
        async def fetch() -> Page:
            self.steps.append("fetch")
            return Page(self.position)

        return (await read_after_writes(cast("Any", self), "tasks", position, fetch, also=also)).position


async def test_without_a_change_nothing_is_waited_for() -> None:
    request = Request(position=7)
    assert await request.read() == 7
    assert request.steps == ["fetch"]


@pytest.mark.parametrize(("written", "named"), [(9, 0), (0, 9), (9, 8)])
async def test_a_page_is_fetched_once_when_its_view_shows_the_change(written: int, named: int) -> None:
    request = Request(written=written, position=7, reached=9)
    assert await request.read(named) == 9
    assert request.steps == ["wait for tasks at 9", "fetch"]
    assert await request.read(named) == 9
    assert request.steps[2:] == ["fetch"]


async def test_all_views_of_a_page_are_waited_for() -> None:
    request = Request(written=9, reached=9)
    await request.read(also=("callbacks",))
    assert request.steps == ["wait for tasks at 9", "wait for callbacks at 9", "fetch"]


async def test_a_view_that_does_not_catch_up_is_shown_as_it_is() -> None:
    request = Request(written=9, position=7, reached=8)
    assert await request.read() == 8
    assert request.steps == ["wait for tasks at 9", "fetch"]


async def test_a_view_that_a_rebuild_has_set_back_is_waited_for_after_the_fetch() -> None:
    request = Request(written=9, position=5, reached=9)
    request.shown_positions["tasks"] = 9
    assert await request.read() == 9
    assert request.steps == ["fetch", "wait for tasks at 9", "fetch"]
