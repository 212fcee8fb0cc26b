"""The turns of organisations, and the notifications of the timetable."""

from datetime import UTC, datetime, timedelta

import pytest

from infrastructure.dispatch.organization_turns import OrganizationTurns, QueuesOfOrganization
from infrastructure.dispatch.timetable_news import LONG_AGO, format_news, parse_news

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clock:
    """A clock that is moved by hand, an hour behind the database's."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now - HOUR


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turns(clock: Clock) -> OrganizationTurns:
    made = OrganizationTurns(clock)
    made.synchronize(NOW)
    return made


def anybody(organization_id: int) -> bool:
    return True


def ready(turns: OrganizationTurns, limit: int = 10) -> list[int]:
    return turns.ready(limit, anybody)


def test_an_organisation_is_ready_from_its_time_on_by_the_databases_clock(
    turns: OrganizationTurns, clock: Clock
) -> None:
    turns.lower(1, NOW + timedelta(seconds=5))
    assert ready(turns) == []
    assert turns.seconds_to_next() == pytest.approx(5)
    clock.now += timedelta(seconds=5)
    assert ready(turns) == [1]


def test_a_time_that_comes_while_nobody_was_found_ready_is_not_missed(turns: OrganizationTurns, clock: Clock) -> None:
    turns.lower(1, NOW + timedelta(microseconds=20))
    assert ready(turns) == []
    clock.now += timedelta(microseconds=20)
    assert turns.seconds_to_next() <= 0
    assert ready(turns) == [1]


def test_the_one_served_longest_ago_is_first(turns: OrganizationTurns) -> None:
    for one in (1, 2, 3):
        turns.lower(one, NOW)
    turns.serve(1)
    turns.serve(3)
    assert ready(turns) == [2, 1, 3]
    assert ready(turns, 2) == [2, 1]


def test_the_order_and_the_times_are_known_from_the_queues(turns: OrganizationTurns) -> None:
    turns.load(
        [
            QueuesOfOrganization(1, NOW, NOW, is_on=True, now=NOW),
            QueuesOfOrganization(2, NOW - HOUR, NOW, is_on=True, now=NOW),
            QueuesOfOrganization(3, None, None, is_on=False, now=NOW),
        ]
    )
    assert ready(turns) == [2, 1]
    assert not turns.is_alone(1)


def test_who_alone_has_a_queue_that_is_on_is_alone(turns: OrganizationTurns) -> None:
    turns.lower(1, LONG_AGO, is_on=True)
    assert (turns.is_alone(1), turns.is_alone(2)) == (True, False)
    turns.lower(2, LONG_AGO, is_on=True)
    assert not turns.is_alone(1)


def test_a_search_raises_the_floor_but_not_over_news_that_came_meanwhile(turns: OrganizationTurns) -> None:
    for one in (1, 2, 3):
        turns.lower(one, NOW - HOUR)
    turns.begin_search([1, 2, 3])
    turns.lower(2, NOW)
    turns.end_search({1: NOW + HOUR, 2: NOW + HOUR, 3: None})
    assert ready(turns) == [2]
    assert turns.floors([2]) == [NOW]
    assert turns.seconds_to_next() == pytest.approx(HOUR.total_seconds())


def test_an_organisation_on_hold_has_no_turn(turns: OrganizationTurns, clock: Clock) -> None:
    turns.lower(1, NOW)
    turns.hold(1, NOW + HOUR)
    assert ready(turns) == []
    assert turns.seconds_to_next() == pytest.approx(HOUR.total_seconds())
    clock.now += HOUR
    assert ready(turns) == [1]


def test_entries_that_were_replaced_do_not_gather(turns: OrganizationTurns) -> None:
    for number in range(5000):
        turns.lower(1, NOW + timedelta(days=9) - timedelta(seconds=number))
    assert len(turns._later) < 1100


@pytest.mark.parametrize("times", [{}, {1: NOW}, {1: LONG_AGO, 2**50: NOW + timedelta(microseconds=1)}])
def test_notifications_say_when_and_whose(times: dict[int, datetime]) -> None:
    payload = format_news(times)
    assert payload
    assert dict(parse_news(payload)) == times


def test_of_too_much_a_notification_says_nothing() -> None:
    assert format_news(dict.fromkeys(range(1000), NOW)) == ""
    assert [*parse_news("")] == []


@pytest.mark.parametrize(
    "payload", ["x", "1", "1@x", ",", "@", "0@", "-1@", f"{1 << 63}@", f"1@{10**30}", f"1@{10**18}"]
)
def test_what_no_dispatcher_has_sent_is_refused(payload: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of int(), too
        list(parse_news(payload))
