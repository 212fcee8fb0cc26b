"""Token buckets."""

import pytest

from interfaces.api.web import rate_limit
from interfaces.api.web.rate_limit import Buckets, RecentKeys, address_key
from interfaces.api.web.request_errors import TooManyRequests


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_taken_at_once_and_then_the_rate_holds() -> None:
    clock = Clock()
    buckets = Buckets(2.0, 3, clock)
    assert [buckets.take("a").remaining for _ in range(3)] == [2, 1, 0]
    with pytest.raises(TooManyRequests) as refused:
        buckets.take("a")
    assert (refused.value.burst, refused.value.retry_after) == (3, 0.5)
    clock.now += 0.5
    assert buckets.take("a").remaining == 0
    clock.now += 1000
    assert buckets.take("a").remaining == 2


def test_asking_in_vain_does_not_put_off_the_refill() -> None:
    clock = Clock()
    buckets = Buckets(1.0, 1, clock)
    buckets.take("a")
    for _ in range(9):
        clock.now += 0.1
        with pytest.raises(TooManyRequests):
            buckets.take("a")
    clock.now += 0.101
    buckets.take("a")


def test_keys_do_not_pay_for_one_another() -> None:
    buckets = Buckets(1.0, 1, Clock())
    buckets.take("a")
    buckets.take("b")


def test_what_is_given_back_can_be_taken_again_but_never_more_than_the_burst() -> None:
    buckets = Buckets(1.0, 2, Clock())
    buckets.take("a")
    buckets.refund("a")
    buckets.refund("a")
    buckets.refund("nobody")
    assert [buckets.take("a").remaining for _ in range(2)] == [1, 0]


def test_a_key_may_have_a_rate_and_a_burst_of_its_own() -> None:
    clock = Clock()
    buckets = Buckets(1.0, 1, clock)
    assert [buckets.take("a", 4.0, 3).remaining for _ in range(3)] == [2, 1, 0]
    clock.now += 0.25
    assert buckets.take("a", 4.0, 3) == (3, 0, 1)
    clock.now += 10
    assert buckets.take("a").limit == 1


def test_of_the_recent_keys_the_one_used_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "_RECENT_KEYS_MAX", 2)
    keys = RecentKeys()
    for key in ("a", "b", "a", "c"):
        keys.add(key)
    assert [key in keys for key in ("a", "b", "c")] == [True, False, True]
    keys.discard("a")
    keys.discard("nobody")
    assert "a" not in keys


def test_full_buckets_are_forgotten() -> None:
    clock = Clock()
    buckets = Buckets(1.0, 10, clock)
    for n in range(50):
        buckets.take(str(n))
    clock.now += 60
    for n in range(25):
        buckets.take(f"later {n}")
    assert len(buckets) == 25


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "_KEYS_MAX", 100)
    buckets = Buckets(1.0, 10, Clock())
    for n in range(1000):
        buckets.take(str(n))
    assert len(buckets) == 100


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_an_ipv6_household_is_one_address(host: str, key: str) -> None:
    assert address_key(host) == key
