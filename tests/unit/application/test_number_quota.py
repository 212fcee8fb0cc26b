"""The quota of open callbacks to one number: which numbers count, on which leg, and what is not in the timetable yet."""

from collections import Counter
from collections.abc import Collection

import pytest

from application.errors import InvalidFields
from application.number_quota import CalledNumber, NumberQuota, OpenCount
from application.phone_line_key import line_key
from domain.callback.events import Leg

pytestmark = pytest.mark.anyio

CLIENT, OFFICE = "+77011234567", "+77272500001"


class Timetable:
    """Open callbacks that a test sets, and the leg of the client in the only queue."""

    def __init__(self, client_leg: Leg | None = None) -> None:
        self.open = Counter[int]()
        self.position = self.tasks_position = self.head = 0
        self.client_leg = client_leg

    async def count(self, lines: Collection[int], at_most: int, queue_id: int | None = None) -> OpenCount:
        """See the port."""
        by_line = {line: min(self.open[line], at_most) for line in lines}
        leg = self.client_leg if queue_id else None
        return OpenCount(by_line, self.position, self.tasks_position, self.head, leg)


def called(a: str, b: str) -> list[CalledNumber]:
    return [CalledNumber("tasks[0].a_number", Leg.A, a), CalledNumber("tasks[0].b_number", Leg.B, b)]


async def refused(quota: NumberQuota, a: str, b: str, limit: int | None = 2, position: int | None = None) -> list[str]:
    """Schedule a callback at a log position; return the fields that are refused."""
    try:
        async with quota.reserve(1, called(a, b), limit, own={OFFICE}, queue_id=7) as reservation:
            reservation.position = position
    except InvalidFields as error:
        return [one.field for one in error.errors]
    return []


@pytest.mark.parametrize(("leg", "other"), [(Leg.A, Leg.B), (Leg.B, Leg.A)])
async def test_a_number_counts_on_both_legs_unless_the_queue_says_where_the_client_is(leg: Leg, other: Leg) -> None:
    timetable = Timetable()
    timetable.open[line_key(1, CLIENT)] = 2
    numbers = {leg: f"{CLIENT};ext=9", other: "+77011234568"}
    field = f"tasks[0].{leg}_number"
    assert await refused(NumberQuota(timetable), numbers[Leg.A], numbers[Leg.B]) == [field]
    timetable.client_leg = leg
    assert await refused(NumberQuota(timetable), numbers[Leg.A], numbers[Leg.B]) == [field]
    timetable.client_leg = other
    assert await refused(NumberQuota(timetable), numbers[Leg.A], numbers[Leg.B]) == []


async def test_extensions_and_the_organisations_own_numbers_have_no_quota() -> None:
    timetable = Timetable()
    for number in (OFFICE, "1001"):
        timetable.open[line_key(1, number)] = 9
    assert await refused(NumberQuota(timetable), f"{OFFICE};ext=5", "1001") == []
    assert await refused(NumberQuota(timetable), "1001", OFFICE) == []


async def test_callbacks_that_the_timetable_does_not_show_yet_are_counted_until_it_does() -> None:
    timetable = Timetable()
    quota = NumberQuota(timetable)
    assert await refused(quota, "1001", CLIENT, position=10) == []
    assert await refused(quota, CLIENT, "1001", position=11) == []
    assert await refused(quota, "1001", CLIENT) == ["tasks[0].b_number"]
    timetable.position = 10
    assert await refused(quota, "1001", CLIENT) == []
    assert await refused(quota, "1001", CLIENT, limit=1) == ["tasks[0].b_number"]


async def test_callbacks_that_were_not_recorded_leave_their_places() -> None:
    quota = NumberQuota(Timetable())
    assert [await refused(quota, "1001", CLIENT, limit=1, position=None) for _ in range(3)] == [[], [], []]
    async with quota.reserve(1, called("1001", CLIENT), 1, own=()):
        assert await refused(quota, "1001", CLIENT, limit=1) == ["tasks[0].b_number"]
    assert await refused(quota, "1001", CLIENT, limit=None) == []


async def test_a_callback_whose_numbers_are_the_same_counts_once() -> None:
    quota = NumberQuota(Timetable())
    assert await refused(quota, CLIENT, f"{CLIENT};ext=1", limit=1, position=10) == []
    assert await refused(quota, "1001", CLIENT, limit=2, position=11) == []
    assert await refused(quota, CLIENT, CLIENT, limit=2) == ["tasks[0].b_number"]


async def test_of_many_callbacks_to_a_number_the_last_are_refused() -> None:
    quota = NumberQuota(Timetable())
    many = [CalledNumber(f"tasks[{index}].b_number", Leg.B, f"+7701123456{index % 2}", index) for index in range(9)]
    with pytest.raises(InvalidFields) as refusal:
        async with quota.reserve(1, many, 3, own=()):
            pass
    assert [error.field for error in refusal.value.errors] == [f"tasks[{index}].b_number" for index in (6, 7, 8)]


async def test_a_cancelled_callback_counts_no_more_although_the_timetable_shows_it() -> None:
    timetable = Timetable()
    timetable.open[line_key(1, CLIENT)], timetable.position = 2, 9
    quota = NumberQuota(timetable)
    assert await refused(quota, "1001", CLIENT) == ["tasks[0].b_number"]
    quota.free(1, ["1001", CLIENT], 10)
    assert await refused(quota, "1001", CLIENT, position=11) == []
    assert await refused(quota, "1001", CLIENT) == ["tasks[0].b_number"]
    timetable.position = 11
    assert await refused(quota, "1001", CLIENT) == ["tasks[0].b_number"]
    timetable.open[line_key(1, CLIENT)] = 1
    assert await refused(quota, "1001", CLIENT) == []


async def test_a_limit_that_was_lowered_admits_none_for_one_that_was_cancelled() -> None:
    timetable = Timetable()
    timetable.open[line_key(1, CLIENT)] = 5
    quota = NumberQuota(timetable)
    assert await refused(quota, "1001", CLIENT) == ["tasks[0].b_number"]
    quota.free(1, [CLIENT], 10)
    assert await refused(quota, "1001", CLIENT) == ["tasks[0].b_number"]


async def test_without_a_quota_nothing_is_remembered() -> None:
    quota = NumberQuota(Timetable())
    assert await refused(quota, "1001", CLIENT, limit=None, position=1) == []
    quota.free(1, [CLIENT], 2)
    assert not quota._recorded
    assert not quota._unseen


async def test_a_tasks_callback_is_counted_until_it_was_scheduled_and_the_timetable_shows_it() -> None:
    timetable = Timetable()
    quota = NumberQuota(timetable)
    async with quota.reserve(1, called("1001", CLIENT), 1, own=(), of_task=True) as reservation:
        reservation.position = 10
    for position, tasks_position, head in ((0, 0, 10), (15, 0, 15), (20, 10, 21)):
        timetable.position, timetable.tasks_position, timetable.head = position, tasks_position, head
        assert await refused(quota, "1001", CLIENT, limit=1) == ["tasks[0].b_number"]
    timetable.position, timetable.head = 21, 30
    assert await refused(quota, "1001", CLIENT, limit=1) == []
