"""The circuit breaker of a gateway: what opens it, its probes, and what closes it."""

import pytest

from application.ports.call_gateway import CallOver, CallProgressed, Progress
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.dispatch.breaker import EVIDENCE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, CircuitBreaker, Congestion
from infrastructure.dispatch.breakers import CONGESTIONS_TO_OPEN, calls_agree


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(calls_agree, clock=clock)


def ended(call_id: str, outcome: Outcome, leg: Leg | None = Leg.A) -> CallOver:
    return CallOver(call_id, CallEnd(outcome=outcome, leg=leg))


def congest(breaker: CircuitBreaker, *call_ids: str, leg: Leg = Leg.A, organization_id: int | None = None) -> None:
    """End calls in congestion, each of another organisation unless one is given."""
    for call_id in call_ids:
        owner = hash(call_id) if organization_id is None else organization_id
        found = Congestion(owner, line=7, at=breaker._clock())
        breaker.observe(ended(call_id, Outcome.CONGESTION, leg), found)


def opened(breaker: CircuitBreaker, leg: Leg = Leg.A) -> None:
    congest(breaker, *"12345"[:CONGESTIONS_TO_OPEN], leg=leg)
    assert not breaker.is_closed


def test_five_congestions_in_a_row_make_a_pause_and_four_do_not(breaker: CircuitBreaker) -> None:
    congest(breaker, "1", "2", "3", "4")
    assert (breaker.is_closed, breaker.paused_s, breaker.admits("x")) == (True, None, True)
    congest(breaker, "5")
    assert (breaker.is_closed, breaker.paused_s, breaker.pauses) == (False, FIRST_PAUSE_S, 1)
    assert not breaker.admits("x")


def test_an_end_that_is_told_twice_counts_once(breaker: CircuitBreaker) -> None:
    congest(breaker, *"1122334444")
    assert breaker.is_closed


@pytest.mark.parametrize(
    "event",
    [
        CallProgressed("x", Progress.RINGING_A),
        CallProgressed("x", Progress.RINGING_B),
        CallProgressed("x", Progress.JOINED),
        ended("x", Outcome.BUSY),
        ended("x", Outcome.NO_ANSWER, Leg.B),
        ended("x", Outcome.SUCCESS, None),
        ended("x", Outcome.CONGESTION, Leg.B),
    ],
)
def test_what_rings_or_ends_in_another_way_begins_the_row_anew(
    breaker: CircuitBreaker, event: CallProgressed | CallOver
) -> None:
    congest(breaker, "1", "2", "3", "4")
    breaker.observe(event)
    congest(breaker, "5", "6", "7", "8")
    assert breaker.is_closed


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.LOST, Outcome.NOT_DIALLED])
def test_calls_that_were_hung_up_or_lost_say_nothing_of_the_trunks(breaker: CircuitBreaker, outcome: Outcome) -> None:
    congest(breaker, "1", "2", "3", "4")
    breaker.observe(ended("x", outcome))
    congest(breaker, "5")
    assert not breaker.is_closed


def test_a_trunk_to_b_that_is_dead_is_noticed_though_the_phones_of_a_ring(breaker: CircuitBreaker) -> None:
    for call_id in "12345":
        breaker.observe(CallProgressed(call_id, Progress.RINGING_A))
        congest(breaker, call_id, leg=Leg.B)
    assert not breaker.is_closed


def test_congestions_of_long_ago_do_not_count(breaker: CircuitBreaker, clock: Clock) -> None:
    congest(breaker, "1", "2", "3", "4")
    clock.now += EVIDENCE_S
    congest(breaker, "5", "6", "7", "8")
    assert breaker.is_closed
    congest(breaker, "9")
    assert not breaker.is_closed


def test_where_organisations_share_it_another_probe_of_the_same_one_does_not_lengthen_the_pause(
    clock: Clock,
) -> None:
    breaker = CircuitBreaker(calls_agree, clock=clock, is_shared=True)
    opened(breaker)
    pauses: list[float | None] = []
    for number, organization_id in enumerate((1, 1, 1, 2, 2, 1)):
        clock.now += breaker.paused_s or 0.0
        assert breaker.admits(f"probe {number}")
        congest(breaker, f"probe {number}", organization_id=organization_id)
        assert breaker.probed == organization_id
        pauses.append(breaker.paused_s)
    assert pauses == [60.0, 60.0, 60.0, 120.0, 120.0, 240.0]


def test_when_the_pause_is_over_one_call_tries_and_no_other(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += FIRST_PAUSE_S - 0.001
    assert not breaker.wants_probe
    assert not breaker.admits("probe")
    clock.now += 0.001
    assert breaker.wants_probe
    assert breaker.admits("probe")
    assert breaker.admits("probe")
    assert not breaker.wants_probe
    assert not breaker.admits("another")


@pytest.mark.parametrize("event", [CallProgressed("probe", Progress.RINGING_A), ended("probe", Outcome.INVALID_NUMBER)])
def test_a_probe_that_gets_through_closes_it_and_the_next_pause_is_short_again(
    breaker: CircuitBreaker, clock: Clock, event: CallProgressed | CallOver
) -> None:
    opened(breaker)
    clock.now += FIRST_PAUSE_S
    assert breaker.admits("probe")
    assert breaker.observe(event)
    assert (breaker.is_closed, breaker.pauses) == (True, 0)
    assert breaker.admits("another")
    opened(breaker)
    assert breaker.paused_s == FIRST_PAUSE_S


def test_what_calls_from_before_the_pause_come_to_changes_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    assert not breaker.observe(CallProgressed("before", Progress.RINGING_B))
    clock.now += FIRST_PAUSE_S
    assert breaker.admits("probe")
    congest(breaker, *"abcdef")
    assert (breaker.paused_s, breaker.pauses) == (0.0, 1)


def test_each_probe_that_meets_congestion_doubles_the_pause_up_to_ten_minutes(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    opened(breaker)
    pauses: list[float | None] = []
    for number in range(2000):
        clock.now += breaker.paused_s or 0.0
        assert breaker.admits(f"probe {number}")
        congest(breaker, f"probe {number}")
        pauses.append(breaker.paused_s)
    assert pauses[:5] == [60.0, 120.0, 240.0, 480.0, LONGEST_PAUSE_S]
    assert set(pauses[5:]) == {LONGEST_PAUSE_S}


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.LOST, Outcome.NOT_DIALLED])
def test_after_a_probe_that_tells_nothing_the_next_call_tries(
    breaker: CircuitBreaker, clock: Clock, outcome: Outcome
) -> None:
    opened(breaker)
    clock.now += FIRST_PAUSE_S
    assert breaker.admits("probe")
    assert breaker.observe(ended("probe", outcome))
    assert not breaker.is_closed
    assert breaker.admits("another")


def test_a_pause_for_the_way_to_b_ends_only_when_b_is_reached(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker, Leg.B)
    clock.now += FIRST_PAUSE_S
    assert breaker.admits("first")
    breaker.observe(CallProgressed("first", Progress.RINGING_A))
    breaker.observe(ended("first", Outcome.NO_ANSWER, Leg.A))
    assert not breaker.is_closed
    assert breaker.admits("second")
    breaker.observe(CallProgressed("second", Progress.RINGING_B))
    assert breaker.is_closed


def test_what_is_found_out_by_asking_is_news_of_the_probe_only(breaker: CircuitBreaker, clock: Clock) -> None:
    for call_id in "12345":
        assert not breaker.observe_found(ended(call_id, Outcome.CONGESTION), Congestion(1, 7, clock.now))
    assert breaker.is_closed
    opened(breaker)
    clock.now += FIRST_PAUSE_S
    assert breaker.admits("probe")
    assert not breaker.observe_found(ended("another", Outcome.BUSY))
    assert breaker.observe_found(ended("probe", Outcome.BUSY))
    assert breaker.is_closed


def test_the_first_link_of_a_leader_begins_no_pause(breaker: CircuitBreaker) -> None:
    breaker.link_up("monday")
    assert breaker.is_closed


def test_a_link_that_was_cut_is_tried_with_one_call_at_once(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.link_up("monday")
    breaker.link_down()
    clock.now += 3.0
    breaker.link_up("monday")
    assert (breaker.is_closed, breaker.wants_probe, breaker.pauses) == (False, True, 0)
    assert breaker.admits("probe")
    assert not breaker.admits("another")
    breaker.observe(CallProgressed("probe", Progress.RINGING_A))
    assert breaker.is_closed


def test_a_probe_on_a_link_that_is_cut_is_followed_by_another(breaker: CircuitBreaker) -> None:
    for _ in range(2):
        breaker.link_up("monday")
        breaker.link_down()
        breaker.link_up("monday")
        assert breaker.admits("probe")


def test_a_switch_that_was_restarted_is_left_alone_for_a_while_from_when_it_went(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    breaker.link_up("monday")
    breaker.link_down()
    clock.now += 12.0
    breaker.link_up("tuesday")
    assert (breaker.paused_s, breaker.pauses) == (FIRST_PAUSE_S - 12.0, 1)
    breaker.link_down()
    clock.now += 1.0
    breaker.link_up("wednesday")
    assert (breaker.paused_s, breaker.pauses) == (2 * FIRST_PAUSE_S - 1.0, 2)


def test_a_pause_goes_on_when_the_link_is_cut_meanwhile(breaker: CircuitBreaker) -> None:
    breaker.link_up("monday")
    opened(breaker)
    breaker.link_down()
    breaker.link_up("monday")
    assert (breaker.paused_s, breaker.pauses) == (FIRST_PAUSE_S, 1)


def test_a_new_leader_goes_on_with_the_pause(clock: Clock) -> None:
    breaker = CircuitBreaker(calls_agree, paused_s=7.0, pauses=3, clock=clock)
    breaker.link_up("monday")
    assert (breaker.is_closed, breaker.paused_s) == (False, 7.0)
    clock.now += 7.0
    assert breaker.admits("probe")
    congest(breaker, "probe")
    assert breaker.paused_s == FIRST_PAUSE_S * 8
