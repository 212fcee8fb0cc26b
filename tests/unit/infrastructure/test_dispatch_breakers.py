"""The breakers of a gateway, its organisations and their numbers: whose calls stop after whose congestions."""

from collections.abc import Iterable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports.call_gateway import CallOver, CallProgressed, Progress
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.dispatch.breaker import FIRST_PAUSE_S
from infrastructure.dispatch.breakers import (
    CONGESTIONS_TO_OPEN,
    PROBE_S,
    Admission,
    Breakers,
    DialledCall,
    Pause,
)

OURS, THEIRS, THIRD = 1, 2, 3
EXTENSION = 1001
CONGESTED = CallEnd(outcome=Outcome.CONGESTION, leg=Leg.B)
BUSY = CallEnd(outcome=Outcome.BUSY, leg=Leg.B)
NOT_DIALLED = CallEnd(outcome=Outcome.NOT_DIALLED)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Phone:
    """Starts calls and reports their ends."""

    def __init__(self, clock: Clock, **state: object) -> None:
        self.breakers = Breakers(clock=clock, **state)  # pyright: ignore[reportArgumentType] - the breakers' own arguments
        self._numbers = count(1)

    def start(self, organization_id: int, number: int) -> str:
        call_id = f"call {next(self._numbers)}"
        self.breakers.started(call_id, DialledCall(organization_id, organization_id * EXTENSION, number))
        return call_id

    def end(self, call_id: str, end: CallEnd = CONGESTED) -> None:
        if end.leg is Leg.B:
            self.breakers.observe(CallProgressed(call_id, Progress.RINGING_A))
        self.breakers.observe(CallOver(call_id, end))

    def congest(self, organization_id: int, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.end(self.start(organization_id, number))

    def may_start(self, organization_id: int) -> bool:
        return self.breakers.may_start(organization_id, 0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def phone(clock: Clock) -> Phone:
    return Phone(clock)


def test_one_congested_number_is_left_alone_and_nothing_else_is(phone: Phone) -> None:
    phone.congest(OURS, [7] * 4)
    assert phone.breakers.hold_s(OURS * EXTENSION, 7) == 0
    phone.congest(OURS, [7] * 46)
    assert phone.breakers.hold_s(OURS * EXTENSION, 7) == FIRST_PAUSE_S
    assert phone.breakers.hold_s(OURS * EXTENSION, 8) == 0
    assert phone.may_start(OURS)
    assert phone.breakers.gateway.is_closed


def test_many_congested_numbers_of_one_organisation_stop_this_one_alone(phone: Phone) -> None:
    phone.congest(OURS, range(100, 160))
    assert not phone.may_start(OURS)
    assert phone.may_start(THEIRS)
    assert phone.breakers.gateway.is_closed
    assert phone.breakers.admission(phone.start(OURS, 200)) is Admission.NEVER
    assert phone.breakers.admission(phone.start(THEIRS, 200)) is Admission.NOW


def test_several_organisations_and_numbers_stop_the_gateway(phone: Phone) -> None:
    phone.congest(OURS, range(100, 160))
    phone.congest(THEIRS, [201, 201, 201])
    assert phone.breakers.gateway.is_closed
    phone.congest(THEIRS, [202])
    assert phone.breakers.gateway.is_paused
    assert phone.breakers.admission(phone.start(THIRD, 300)) is Admission.NEVER


def test_a_call_of_anybody_that_gets_through_speaks_for_the_gateway(phone: Phone) -> None:
    phone.congest(OURS, range(100, 104))
    phone.end(phone.start(THEIRS, 201), BUSY)
    phone.congest(THEIRS, [202])
    phone.congest(THIRD, [302, 303])
    assert phone.breakers.gateway.is_closed


def test_other_organisations_do_not_speak_for_one_that_is_paused(phone: Phone) -> None:
    phone.congest(OURS, range(100, 105))
    phone.end(phone.start(THEIRS, 201), BUSY)
    assert not phone.may_start(OURS)


def test_after_its_pause_an_organisation_has_one_probe(phone: Phone, clock: Clock) -> None:
    phone.congest(OURS, range(100, 105))
    clock.now += FIRST_PAUSE_S
    assert phone.breakers.may_start(OURS, 0)
    assert not phone.breakers.may_start(OURS, 1)
    probe = phone.start(OURS, 300)
    assert not phone.may_start(OURS)
    assert phone.breakers.admission(probe) is Admission.NOW
    assert phone.breakers.admission(phone.start(OURS, 301)) is Admission.NEVER
    phone.end(probe, BUSY)
    assert phone.may_start(OURS)
    assert phone.breakers.paused_organizations == {}


def test_a_probe_that_is_not_dialled_is_followed_by_another(phone: Phone, clock: Clock) -> None:
    phone.congest(OURS, [7] * 5)
    clock.now += FIRST_PAUSE_S
    assert phone.breakers.is_probe_of_line(OURS * EXTENSION, 7)
    probe = phone.start(OURS, 7)
    assert phone.breakers.hold_s(OURS * EXTENSION, 7) == PROBE_S
    assert not phone.breakers.is_probe_of_line(OURS * EXTENSION, 7)
    phone.end(probe, NOT_DIALLED)
    assert phone.breakers.hold_s(OURS * EXTENSION, 7) == 0
    phone.end(phone.start(OURS, 7))
    assert phone.breakers.hold_s(OURS * EXTENSION, 7) == 2 * FIRST_PAUSE_S


def test_a_number_that_is_answered_is_free_whoever_called_it_in_vain(phone: Phone) -> None:
    phone.congest(OURS, [7] * 4)
    phone.end(phone.start(OURS, 7), BUSY)
    phone.congest(OURS, [7] * 4)
    assert phone.breakers.hold_s(OURS * EXTENSION, 7) == 0


def test_an_extension_that_rings_is_no_congested_number(phone: Phone) -> None:
    phone.congest(OURS, [7, 8] * 10)
    assert phone.breakers.hold_s(OURS * EXTENSION, 9) == 0


def test_while_the_gateways_probe_is_under_way_other_calls_wait(phone: Phone, clock: Clock) -> None:
    phone.congest(OURS, range(100, 103))
    phone.congest(THEIRS, range(200, 202))
    clock.now += FIRST_PAUSE_S
    probe, other = phone.start(THIRD, 300), phone.start(THEIRS, 204)
    assert phone.breakers.admission(probe) is Admission.NOW
    assert phone.breakers.admission(other) is Admission.WAIT
    phone.end(probe, BUSY)
    assert phone.breakers.admission(other) is Admission.NOW


def test_pauses_of_organisations_outlive_a_leader(phone: Phone, clock: Clock) -> None:
    phone.congest(OURS, range(100, 105))
    clock.now += 10.0
    paused = phone.breakers.paused_organizations
    assert paused == {OURS: Pause(FIRST_PAUSE_S - 10.0, 1)}
    following = Phone(clock, organizations=paused)
    assert (following.may_start(OURS), following.may_start(THEIRS)) == (False, True)


def test_what_a_query_finds_late_is_no_evidence(phone: Phone) -> None:
    for number in range(100, 110):
        phone.breakers.observe(CallOver(phone.start(OURS, number), CONGESTED), is_found=True)
    assert phone.may_start(OURS)


_ends = st.sampled_from([CONGESTED, CONGESTED, CONGESTED, BUSY, NOT_DIALLED, CallEnd(outcome=Outcome.LOST)])
_calls = st.lists(st.tuples(st.integers(100, 130), _ends), max_size=200)


@given(_calls)
def test_no_organisation_alone_stops_another(calls: list[tuple[int, CallEnd]]) -> None:
    phone = Phone(Clock())
    for number, end in calls:
        phone.end(phone.start(OURS, number), end)
    assert phone.breakers.gateway.is_closed
    assert phone.may_start(THEIRS)
    assert phone.breakers.admission(phone.start(THEIRS, 7)) is Admission.NOW


@given(st.lists(st.tuples(st.sampled_from([OURS, THEIRS, THIRD]), st.integers(100, 999)), min_size=60, max_size=60))
def test_where_nothing_gets_through_dialling_stops(calls: list[tuple[int, int]]) -> None:
    phone = Phone(Clock())
    dialled = 0
    for organization_id, number in calls:
        call_id = phone.start(organization_id, number)
        if phone.breakers.admission(call_id) is Admission.NOW:
            dialled += 1
            phone.end(call_id)
        else:
            phone.end(call_id, NOT_DIALLED)
    assert dialled <= CONGESTIONS_TO_OPEN * 3


@given(st.lists(st.tuples(st.sampled_from([OURS, THEIRS, THIRD]), st.integers(100, 110), _ends), max_size=100))
def test_an_event_changes_the_pauses_of_the_gateway_and_of_its_own_organisation_only(
    calls: list[tuple[int, int, CallEnd]],
) -> None:
    clock = Clock()
    phone = Phone(clock)
    for organization_id, number, end in calls:
        clock.now += 3.0
        call_id = phone.start(organization_id, number)
        assert phone.breakers.organization_of(call_id) == organization_id
        before, ours, changes = phone.breakers.state, phone.breakers.pauses_of(organization_id), phone.breakers.changes
        changed = phone.breakers.observe(CallOver(call_id, end))
        after, ours_after = phone.breakers.state, phone.breakers.pauses_of(organization_id)
        assert (after[:2] != before[:2]) == (ours_after[0] != ours[0])
        assert (after[2] != before[2]) == (ours_after[1] != ours[1])
        assert phone.breakers.changes == changes + changed
        assert changed or after == before
