"""The circuit breaker of a lane."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from infrastructure.webhooks.breaker import FAILURES_MAX, FIRST_PROBE, IN_FLIGHT_MAX, LAST_PROBE, WINDOW, Breaker
from infrastructure.webhooks.delivery_schedule import Health

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
HEALTHY, FAILING, UNKNOWN = Health.HEALTHY, Health.FAILING, Health.UNKNOWN


def after(*healths: Health, breaker: Breaker | None = None, at: datetime = NOW) -> Breaker:
    breaker = breaker or Breaker()
    for health in healths:
        breaker = breaker.after(health, at)
    return breaker


def opened() -> Breaker:
    return after(*[FAILING] * FAILURES_MAX)


def test_ten_failures_in_a_row_open_it_for_half_a_minute() -> None:
    assert not after(*[FAILING] * 9).is_parked(NOW)
    assert opened().open_until == NOW + FIRST_PROBE
    assert opened().is_parked(NOW)
    assert not opened().is_parked(NOW + FIRST_PROBE)


def test_a_success_in_between_resets_the_count() -> None:
    assert not after(*[FAILING] * 9, HEALTHY, *[HEALTHY] * 10, *[FAILING] * 9).is_parked(NOW)


def test_seven_of_ten_failures_within_five_minutes_open_it() -> None:
    seven = [FAILING, FAILING, HEALTHY] * 2 + [FAILING, FAILING, FAILING]
    assert not after(*seven).is_parked(NOW)
    assert after(*seven, HEALTHY, FAILING).is_parked(NOW)


def test_failures_of_an_older_window_are_forgotten() -> None:
    old = after(*[FAILING] * 8, HEALTHY)
    assert not after(FAILING, breaker=old, at=NOW + WINDOW).is_parked(NOW + WINDOW)


def test_an_unknown_health_changes_nothing() -> None:
    assert after(*[UNKNOWN] * 20) == Breaker()


def test_late_failures_do_not_open_it_further() -> None:
    assert after(*[FAILING] * 20, breaker=opened()) == opened()


def test_one_probe_at_a_time_and_each_failed_one_doubles_the_pause_up_to_a_quarter_of_an_hour() -> None:
    breaker, pauses = opened(), list[timedelta]()
    for _ in range(8):
        assert breaker.in_flight_max == 1
        probed_at = breaker.open_until
        breaker = breaker.after(FAILING, probed_at)
        pauses.append(breaker.open_until - probed_at)
    assert pauses == [min(FIRST_PROBE * 2**n, LAST_PROBE) for n in range(1, 9)]


def test_a_probe_that_succeeds_closes_it_and_use_grows_slowly() -> None:
    breaker, limits = opened(), list[int]()
    later = breaker.open_until
    for _ in range(6):
        breaker = breaker.after(HEALTHY, later)
        limits.append(breaker.in_flight_max)
    assert not breaker.is_parked(later)
    assert limits == [2, 4, 8, 16, 32, IN_FLIGHT_MAX]
    assert (breaker.opened, breaker.failures) == (0, 0)


def test_after_closing_it_takes_ten_failures_again() -> None:
    closed = opened().after(HEALTHY, NOW + FIRST_PROBE)
    assert not after(*[FAILING] * 7, breaker=closed, at=NOW + FIRST_PROBE).is_parked(NOW + FIRST_PROBE)


def test_the_longest_requested_pause_counts() -> None:
    breaker = Breaker().paused(NOW + timedelta(hours=1)).paused(NOW + timedelta(minutes=1)).paused(None)
    assert breaker.paused_until == NOW + timedelta(hours=1)
    assert breaker.is_parked(NOW)


@given(st.lists(st.tuples(st.sampled_from(Health), st.integers(0, 400)), max_size=80))
def test_it_never_stays_open_longer_than_the_longest_pause(story: list[tuple[Health, int]]) -> None:
    breaker, at = Breaker(), NOW
    for health, seconds in story:
        at += timedelta(seconds=seconds)
        breaker = breaker.after(health, at)
        assert breaker.open_until <= at + LAST_PROBE
        assert 1 <= breaker.in_flight_max <= IN_FLIGHT_MAX
