"""Laws of fair shares, and what happens at their edges."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.errors import ShareExhausted
from application.fair_share import FairShare, all_shares

A, B, C = "a", "b", "c"


def test_one_owner_takes_half_and_the_next_finds_places() -> None:
    share = FairShare("places", 8)
    assert [share.try_acquire(A) for _ in range(5)] == [True] * 4 + [False]
    assert [share.try_acquire(B) for _ in range(3)] == [True, True, False]
    assert share.try_acquire(C)
    assert share.free == 1


def test_a_request_for_more_than_half_passes_alone_only() -> None:
    share = FairShare("bytes", 10)
    assert share.try_acquire(A, 10)
    share.release(A, 10)
    assert share.try_acquire(B)
    assert not share.try_acquire(A, 10)


@given(st.integers(1, 20), st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=80))
def test_places_are_never_lent_twice_and_room_is_exact(places: int, steps: list[tuple[str, bool]]) -> None:
    share, held = FairShare("places", places), Counter[str]()
    for owner, takes in steps:
        room = share.room(owner)
        if takes:
            assert share.try_acquire(owner) == (room > 0)
            held[owner] += room > 0
        elif held[owner]:
            share.release(owner)
            held[owner] -= 1
        assert share.free == places - held.total() >= 0
        assert all(share.held(one) == held[one] for one in "abcdef")


def test_those_who_wait_take_turns() -> None:
    async def scenario() -> list[str]:
        share, order = FairShare("places", 2), list[str]()
        assert share.try_acquire(A)
        assert not share.try_acquire(A)

        async def use(owner: str) -> None:
            async with share.place(owner, timeout_s=5):
                order.append(owner)
                await asyncio.sleep(0)

        users = [asyncio.create_task(use(owner)) for owner in (A, A, A, B, B)]
        await asyncio.sleep(0)
        share.release(A)
        await asyncio.gather(*users)
        assert share.free == 2
        assert share.waiting == 0
        return order

    order = asyncio.run(scenario())
    assert sorted(order) == [A, A, A, B, B]
    assert order.index(B) < 2


def test_a_wait_ends_at_its_time_limit_and_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        share = FairShare("places", 1)
        async with share.place(A, timeout_s=1):
            with pytest.raises(ShareExhausted, match="places"):
                await share.acquire(B, timeout_s=0.01)
            assert (share.refused, share.waiting) == (1, 0)
        assert share.try_acquire(B)

    asyncio.run(scenario())


def test_a_cancelled_request_gives_its_place_to_the_next() -> None:
    async def scenario() -> None:
        share = FairShare("places", 1)
        assert share.try_acquire(A)
        waiting = [asyncio.create_task(share.acquire(owner, timeout_s=5)) for owner in (B, C)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        share.release(A)  # at the moment of the cancellation, before its task has run
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (share.held(B), share.held(C), share.free) == (0, 1, 0)

    asyncio.run(scenario())


def test_a_place_that_arrives_with_the_cancellation_is_returned() -> None:
    async def scenario() -> None:
        share = FairShare("places", 1)
        assert share.try_acquire(A)
        waiting = asyncio.create_task(share.acquire(B, timeout_s=5))
        await asyncio.sleep(0)
        share.release(A)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (share.held(B), share.free) == (0, 1)

    asyncio.run(scenario())


def test_an_owner_has_a_bounded_number_of_requests_waiting() -> None:
    async def scenario() -> None:
        share = FairShare("places", 1, waiting_max=1)
        assert share.try_acquire(A)
        waiting = asyncio.create_task(share.acquire(A, timeout_s=5))
        await asyncio.sleep(0)
        with pytest.raises(ShareExhausted):
            await share.acquire(A, timeout_s=5)
        share.release(A)
        await waiting
        assert share.waited == 1

    asyncio.run(scenario())


def test_metrics_find_every_share() -> None:
    share = FairShare("look-ups", 3)
    assert share in [*all_shares()]
