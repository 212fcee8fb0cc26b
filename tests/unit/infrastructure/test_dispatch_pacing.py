"""The number of calls that may start now: by tokens, free channels and the circuit breaker."""

from math import inf

import pytest

from application.ports.call_gateway import CallOver, CallProgressed, Progress
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.dispatch.breaker import FIRST_PAUSE_S
from infrastructure.dispatch.breakers import Admission, Breakers, DialledCall, Pause
from infrastructure.dispatch.gateway_state import GatewayState
from infrastructure.dispatch.pacing import IN_FLIGHT_MAX, Pace, Pacing, TokenBucket


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(("per_second", "burst"), [(0.1, 2), (1, 2), (20, 2), (40, 4), (1000, 100)])
def test_a_bucket_begins_empty_and_keeps_a_tenth_of_a_second_or_two_calls(
    clock: Clock, per_second: float, burst: int
) -> None:
    bucket = TokenBucket(per_second, clock)
    assert int(bucket.tokens) == 0
    clock.now += 1000.0
    assert int(bucket.tokens) == burst


@pytest.mark.parametrize("per_second", [0.1, 1, 3, 7, 40, 333])
def test_who_waits_as_told_has_the_token_and_the_rate_is_kept_to_the_call(clock: Clock, per_second: float) -> None:
    bucket = TokenBucket(per_second, clock)
    for _ in range(1000):
        clock.now += bucket.seconds_until(1)
        assert int(bucket.tokens) == 1
        bucket.consume(1)
    assert clock.now == pytest.approx(1000 / per_second)


def test_without_a_rate_there_are_always_tokens(clock: Clock) -> None:
    bucket = TokenBucket(None, clock)
    bucket.consume(10_000)
    clock.now += 1.0
    assert (bucket.tokens, bucket.seconds_until(1)) == (inf, 0.0)


def test_leaders_that_follow_one_another_never_exceed_the_rate_and_one_burst(clock: Clock) -> None:
    started = 0
    for _ in range(50):
        pacing = Pacing(Pace(calls_per_second=4.0), clock=clock)
        for _ in range(7):
            clock.now += 0.1
            room = int(pacing.room())
            pacing.started(room)
            started += room
    assert started <= clock.now * 4.0 + 2


def test_at_high_rates_tokens_gather_for_a_tenth_of_a_second(clock: Clock) -> None:
    pacing = Pacing(Pace(calls_per_second=100.0), clock=clock)
    clock.now += 0.099
    assert pacing.room() == 0
    by, seconds = pacing.held_by()
    assert (by, seconds) == ("rate", pytest.approx(0.001))
    clock.now += seconds
    assert int(pacing.room()) == 10


def take(pacing: Pacing, calls: int, organization_id: int = 1, *, is_alone: bool = True) -> int:
    """Take places of calls; return how many there were."""
    return sum(pacing.take_place(organization_id, is_alone=is_alone) for _ in range(calls))


def test_a_callback_takes_two_channels_until_its_end_is_recorded(clock: Clock) -> None:
    pacing = Pacing(Pace(channels=7), GatewayState(open_calls={1: 1}), clock)
    assert pacing.room() == 2
    assert take(pacing, 3) == 2
    assert (pacing.room(), pacing.is_full, pacing.held_by()) == (0, True, ("channels", inf))
    pacing.ended({1: 1})
    assert (pacing.room(), pacing.is_full) == (1, False)


def test_where_more_runs_than_there_are_channels_nothing_starts(clock: Clock) -> None:
    pacing = Pacing(Pace(channels=4), GatewayState(open_calls={1: 5}), clock)
    assert (pacing.room(), pacing.is_full) == (0, True)


def test_beside_others_an_organisation_leaves_them_channels() -> None:
    pacing = Pacing(Pace(channels=40))
    assert [take(pacing, 20, one, is_alone=False) for one in (1, 2, 3, 4, 5)] == [10, 5, 3, 1, 1]
    assert pacing.is_full


def test_who_is_alone_has_all_channels_until_another_comes() -> None:
    pacing = Pacing(Pace(channels=20))
    assert take(pacing, 9) == 9
    assert take(pacing, 9, is_alone=False) == 0
    assert take(pacing, 9, 2, is_alone=False) == 1


def test_places_of_calls_that_were_not_started_are_free_again() -> None:
    pacing = Pacing(Pace(channels=8))
    assert take(pacing, 4) == 4
    pacing.give_back({1: 3})
    assert (pacing.room(), pacing.in_flight, pacing.open_calls) == (3, 1, 1)
    pacing.dialled(1)
    assert pacing.in_flight == 0


def test_without_bounds_an_organisation_has_half_of_the_calls_in_flight(clock: Clock) -> None:
    pacing = Pacing(clock=clock)
    assert take(pacing, IN_FLIGHT_MAX) == IN_FLIGHT_MAX // 2
    assert take(pacing, 1, 2) == 1
    assert (pacing.room(), pacing.is_full) == (IN_FLIGHT_MAX // 2 - 1, False)


def open_breaker(pacing: Pacing) -> None:
    for number in range(6):
        pacing.breakers.started(f"{number}", DialledCall(number % 3, number, number))
        pacing.breakers.observe(CallOver(f"{number}", CallEnd(outcome=Outcome.CONGESTION, leg=Leg.A)))


def test_while_the_breaker_is_open_nothing_starts_and_then_a_single_call(clock: Clock) -> None:
    pacing = Pacing(clock=clock)
    open_breaker(pacing)
    assert (pacing.room(), pacing.held_by()) == (0, ("breaker", FIRST_PAUSE_S))
    clock.now += FIRST_PAUSE_S
    assert take(pacing, 1) == 1
    assert pacing.room() == 0
    pacing.dialled(1)
    assert pacing.room() == 1
    assert pacing.breakers.admission("probe") is Admission.NOW
    assert (pacing.room(), pacing.held_by()) == (0, ("breaker", inf))
    pacing.breakers.observe(CallProgressed("probe", Progress.RINGING_A))
    assert pacing.room() == IN_FLIGHT_MAX


def test_a_standing_is_news_once_it_has_changed(clock: Clock) -> None:
    pacing = Pacing(Pace(channels=2), GatewayState(is_full=True), clock)
    assert pacing.changed_state() == GatewayState()
    assert pacing.changed_state() is None
    assert take(pacing, 1) == 1
    assert pacing.changed_state() == GatewayState(is_full=True)
    pacing.ended({1: 1})
    open_breaker(pacing)
    clock.now += 1.0
    assert pacing.changed_state() == GatewayState(paused_s=FIRST_PAUSE_S - 1.0, pauses=1)
    clock.now += 1.0
    assert pacing.changed_state() is None


def test_the_state_of_all_organisations_is_not_built_again_while_no_event_changed_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pacing = Pacing(state=GatewayState(organizations={1: Pause(30.0, 1)}), clock=clock)
    assert pacing.changed_state() is None
    with monkeypatch.context() as unused:
        unused.setattr(Breakers, "state", None)
        assert pacing.changed_state() is None
    open_breaker(pacing)
    assert pacing.changed_state() is not None


def test_an_organisation_that_is_paused_has_no_place_and_others_have(clock: Clock) -> None:
    pacing = Pacing(state=GatewayState(organizations={1: Pause(30.0, 1)}), clock=clock)
    assert [pacing.has_place(one, is_alone=False) for one in (1, 2)] == [False, True]
    assert pacing.changed_state() is None
    clock.now += 30.0
    assert [take(pacing, 9, one, is_alone=False) for one in (1, 2)] == [1, 9]
