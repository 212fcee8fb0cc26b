"""Admission of due calls: rules first, then the organisation's day, then the hour of a number."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from application.call_admission import HOUR, Account, Candidate, admit, counted_lines
from application.dial_policy import Rule, policy_of
from domain.callback.events import Leg
from domain.organization.events import Settings
from domain.organization.limits import Limits

ALMATY = ZoneInfo("Asia/Almaty")
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
TODAY = datetime(2026, 11, 26, 19, tzinfo=UTC)  # midnight in Almaty
LINES = {"1001": 1, "+77011234567": 2, "+77272500001": 3}


def candidate(callback_id: int, a: str = "1001", b: str = "+77011234567", **more: Any) -> Candidate:
    lines = {"a_line": LINES.get(a, 99), "b_line": LINES.get(b, 99)}
    values: dict[str, Any] = {"organization_id": 1, "a_number": a, "b_number": b, "is_of_task": False, **lines, **more}
    return Candidate(callback_id=callback_id, **values)


def account(calls: int = 0, *, caller_ids: tuple[str, ...] = (), day: datetime = TODAY, **limits: Any) -> Account:
    return Account(
        policy=policy_of(Settings()),
        limits=Limits(**limits),
        caller_ids=frozenset(caller_ids),
        zone=ALMATY,
        day_began=day,
        calls=calls,
    )


def test_what_nothing_forbids_may_start_and_is_counted() -> None:
    found = account(7)
    admission = admit([candidate(1), candidate(2)], {1: found}, {}, NOW)
    assert admission.may_start(1)
    assert admission.may_start(2)
    assert (admission.started, found.calls, admission.lines) == ({1: 2}, 9, [])


def test_a_number_that_may_not_be_called_is_refused_by_leg_and_rule_and_uses_no_call() -> None:
    found = account(calls_per_day=0)
    numbers = [candidate(1, b="112"), candidate(2, a="+998901234567"), candidate(3, b="+78091234567;ext=5")]
    admission = admit(numbers, {1: found}, {}, NOW)
    assert admission.refused == {
        1: (Leg.B, Rule.EMERGENCY_NUMBER),
        2: (Leg.A, Rule.REGION_NOT_ALLOWED),
        3: (Leg.B, Rule.NUMBER_TYPE_NOT_ALLOWED),
    }
    assert (admission.started, admission.held) == ({}, set())


def test_an_organisation_without_calls_is_held_until_its_midnight_and_the_others_go_on() -> None:
    accounts = {1: account(9, calls_per_day=10), 2: account(0, calls_per_day=10)}
    admission = admit([candidate(1), candidate(2), candidate(3, organization_id=2)], accounts, {}, NOW)
    assert (admission.held, admission.started) == ({2}, {1: 1, 2: 1})
    assert admission.held_until == {1: datetime(2026, 11, 28, tzinfo=ALMATY)}


def test_a_new_day_begins_at_the_organisations_midnight() -> None:
    found = account(10)
    found.begin_day(datetime(2026, 11, 27, 18, 59, tzinfo=UTC))
    assert found.calls == 10
    found.begin_day(datetime(2026, 11, 27, 19, 0, tzinfo=UTC))
    assert (found.calls, found.day_began) == (0, datetime(2026, 11, 27, 19, tzinfo=UTC))


def test_a_change_of_the_time_zone_begins_no_day() -> None:
    found = account(10)
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12", "Asia/Almaty"):
        found.zone = ZoneInfo(zone)
        found.begin_day(NOW)
    assert (found.calls, found.day_began) == (10, TODAY)


_zones = st.sampled_from(
    ["UTC", "Asia/Almaty", "Pacific/Kiritimati", "Etc/GMT+12", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe"]
)
_steps = st.lists(st.tuples(st.timedeltas(timedelta(0), timedelta(days=3)), _zones), max_size=30)


@given(st.timedeltas(timedelta(0), timedelta(days=2000)).map(datetime(2020, 1, 1, tzinfo=UTC).__add__), _steps)
def test_days_begin_at_midnight_and_23_hours_apart_whatever_the_time_zones(
    now: datetime, steps: list[tuple[timedelta, str]]
) -> None:
    found = account(0, day=datetime(2000, 1, 1, tzinfo=UTC))
    for passed, zone in steps:
        now, found.zone = now + passed, ZoneInfo(zone)
        before, is_over = found.day_began, now >= found.next_day
        found.calls = 1
        found.begin_day(now)
        assert (found.calls == 0) == is_over
        if is_over:
            assert found.day_began - before >= timedelta(hours=23)
            assert before < found.day_began <= now < found.next_day
            assert now - found.day_began < timedelta(hours=25)
        else:
            assert found.day_began == before


def test_calls_to_a_number_wait_until_the_oldest_attempt_is_an_hour_old() -> None:
    attempts = {2: [NOW - timedelta(minutes=50), NOW - timedelta(minutes=20)]}
    found = account(attempts_per_number_hour=3)
    admission = admit([candidate(1), candidate(2)], {1: found}, attempts, NOW)
    assert admission.may_start(1)
    assert admission.postponed == {2: NOW - timedelta(minutes=50) + HOUR}
    assert (admission.lines, found.calls) == ([2], 1)


def test_a_number_is_limited_on_both_legs() -> None:
    found = account(attempts_per_number_hour=1)
    attempts = {2: [], 3: [NOW]}
    admission = admit([candidate(1, a="+77272500001")], {1: found}, attempts, NOW)
    assert admission.postponed == {1: NOW + HOUR}


def test_no_number_is_called_with_a_limit_of_none() -> None:
    admission = admit([candidate(1)], {1: account(attempts_per_number_hour=0)}, {2: []}, NOW)
    assert admission.postponed == {1: NOW + HOUR}


def test_lines_of_the_organisation_itself_have_no_limit() -> None:
    limited = account(attempts_per_number_hour=1, caller_ids=("+77272500001",))
    assert counted_lines(candidate(1), limited) == [2]
    assert counted_lines(candidate(1, a="+77272500001"), limited) == [2]
    assert counted_lines(candidate(1, a="+77011234567", b="1001", is_of_task=True), limited) == []
    assert counted_lines(candidate(1), account()) == []
