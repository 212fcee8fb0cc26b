"""The contract of the port ``CallGateway``, run on each kind of switch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import uuid4

import pytest
from msgspec.structs import replace

from application.ports.call_gateway import (
    Absent,
    Call,
    CallGateway,
    CallOver,
    CallProgressed,
    CallState,
    Ended,
    GatewayEvent,
    GatewayUnavailable,
    LinkDown,
    LinkUp,
    Live,
    PlaceResult,
    Progress,
)
from domain.callback.events import CallEnd, Leg, Outcome
from interfaces.config.settings import GatewayName
from tests.support.switches import SWITCHES, EventCollector, Switch
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

LONG_S = 600.0


@pytest.fixture(params=SWITCHES)
async def switch(request: pytest.FixtureRequest) -> AsyncIterator[Switch]:
    async with SWITCHES[request.param](request.getfixturevalue) as ready:
        yield ready


def test_each_gateway_has_a_switch_for_this_suite() -> None:
    assert SWITCHES.keys() == set(get_args(GatewayName))


@pytest.fixture
async def gateway(switch: Switch) -> AsyncIterator[CallGateway]:
    async with switch.gateway() as connected:
        await reached(connected)
        yield connected


@pytest.fixture
async def collector(gateway: CallGateway) -> AsyncIterator[EventCollector]:
    async with EventCollector(gateway) as listening:
        yield listening


async def reached(gateway: CallGateway) -> str:
    """Wait for the link; return the start stamp of the switch."""
    async for events in gateway.events():
        first = events[0]
        assert isinstance(first, LinkUp), "LinkUp comes first"
        return first.started
    raise AssertionError("The gateway has ended")


def call_of(switch: Switch, a: str = "answers", b: str = "answers", *, ring_s: float | None = None) -> Call:
    """Return a call between phones of these behaviours; each rings for ``ring_s``, by default long enough to be answered."""
    ring_s = ring_s or switch.ring_s
    a_number, b_number = getattr(switch.numbers, a), getattr(switch.numbers, b)
    return Call(
        id=str(uuid4()),
        a_number=a_number,
        b_number=b_number,
        a_sees=b_number,
        b_sees="100",
        ring_a_s=ring_s,
        ring_b_s=ring_s,
    )


async def placed(gateway: CallGateway, call: Call) -> Call:
    assert await gateway.place(call) is PlaceResult.ACCEPTED
    return call


async def end_of(collector: EventCollector, call: Call) -> CallEnd:
    """Wait for the event of the call's end."""
    over = await collector.until(lambda event: isinstance(event, CallOver) and event.call_id == call.id)
    assert isinstance(over, CallOver)
    return over.end


async def found(gateway: CallGateway, call: Call) -> CallState:
    (one,) = await gateway.find([call.id])
    return one


async def came_to(collector: EventCollector, call: Call, progress: Progress) -> None:
    await collector.until(lambda event: event == CallProgressed(call.id, progress))


def is_link(event: GatewayEvent) -> bool:
    return isinstance(event, LinkUp | LinkDown)


async def test_a_and_b_are_rung_in_turn_joined_and_parted(
    switch: Switch, gateway: CallGateway, collector: EventCollector
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)  # some switches report whole seconds
    call = await placed(gateway, replace(call_of(switch), ring_a_s=30, ring_b_s=30, longest_talk_s=switch.talk_s))
    end = await end_of(collector, call)
    events = [event for event in collector.events if not is_link(event)]
    assert events == [
        CallProgressed(call.id, Progress.RINGING_A),
        CallProgressed(call.id, Progress.RINGING_B),
        CallProgressed(call.id, Progress.JOINED),
        CallOver(call.id, end),
    ]
    assert (end.outcome, end.leg, end.cause, end.dial_status) == (Outcome.SUCCESS, None, 16, "ANSWER")
    assert end.seconds == pytest.approx(switch.talk_s, abs=1)
    known = await found(gateway, call)
    assert isinstance(known, Ended)
    assert known.end == end
    assert before <= known.at <= datetime.now(UTC)


@pytest.mark.parametrize("leg", Leg)
@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        ("busy", Outcome.BUSY),
        ("rings", Outcome.NO_ANSWER),
        ("rejects", Outcome.REJECTED),
        ("unknown", Outcome.INVALID_NUMBER),
        ("congested", Outcome.CONGESTION),
    ],
)
async def test_a_phone_that_does_not_answer_ends_the_call_on_its_leg(
    switch: Switch, gateway: CallGateway, collector: EventCollector, *, behaviour: str, outcome: Outcome, leg: Leg
) -> None:
    a, b = (behaviour, "answers") if leg is Leg.A else ("answers", behaviour)
    call = await placed(gateway, call_of(switch, a, b))
    end = await end_of(collector, call)
    assert (end.outcome, end.leg, end.seconds) == (outcome, leg, None)
    assert end.sip is not None
    assert end.cause is not None
    known = await found(gateway, call)
    assert isinstance(known, Ended)
    assert known.end == end


async def test_a_that_hangs_up_while_b_rings_has_abandoned_the_call(
    switch: Switch, gateway: CallGateway, collector: EventCollector
) -> None:
    call = await placed(gateway, call_of(switch, "leaves", "rings", ring_s=LONG_S))
    end = await end_of(collector, call)
    assert (end.outcome, end.leg, end.dial_status) == (Outcome.ABANDONED, Leg.A, "CANCEL")


async def test_what_is_known_of_calls_is_told_in_the_order_in_which_it_was_asked(
    switch: Switch, gateway: CallGateway, collector: EventCollector
) -> None:
    ended = await placed(gateway, call_of(switch, "busy"))
    await end_of(collector, ended)
    lives = await placed(gateway, call_of(switch, "rings", ring_s=LONG_S))
    await came_to(collector, lives, Progress.RINGING_A)
    never = str(uuid4())
    for order in ([lives.id, ended.id, never], [never, lives.id, ended.id]):
        known = dict(zip(order, await gateway.find(order), strict=True))
        assert known[lives.id] == Live(Progress.RINGING_A)
        assert isinstance(known[ended.id], Ended)
        assert known[never] == Absent()
    assert list(await gateway.find([])) == []


@pytest.mark.parametrize(
    ("b", "progress", "outcome"),
    [
        (None, Progress.RINGING_A, Outcome.CANCELLED),
        ("rings", Progress.RINGING_B, Outcome.CANCELLED),
        ("answers", Progress.JOINED, Outcome.SUCCESS),
    ],
)
async def test_a_call_can_be_hung_up_at_any_time_and_twice(
    switch: Switch,
    gateway: CallGateway,
    collector: EventCollector,
    *,
    b: str | None,
    progress: Progress,
    outcome: Outcome,
) -> None:
    call = await placed(gateway, call_of(switch, "answers" if b else "rings", b or "answers", ring_s=LONG_S))
    await came_to(collector, call, progress)
    assert await found(gateway, call) == Live(progress)
    await gateway.hang_up(call.id)
    assert (await end_of(collector, call)).outcome is outcome
    await gateway.hang_up(call.id)
    known = await found(gateway, call)
    assert isinstance(known, Ended)
    assert known.end.outcome is outcome


async def test_hanging_up_what_never_was_is_no_error(gateway: CallGateway) -> None:
    await gateway.hang_up(str(uuid4()))


async def test_a_call_that_lives_is_not_dialled_again(
    switch: Switch, gateway: CallGateway, collector: EventCollector
) -> None:
    call = await placed(gateway, call_of(switch, "rings", ring_s=LONG_S))
    await came_to(collector, call, Progress.RINGING_A)
    assert await gateway.place(call) is not PlaceResult.REFUSED, "a refusal would give the call up"
    await end_of(
        collector, await placed(gateway, call_of(switch, "busy"))
    )  # by then it has received the second request
    assert await found(gateway, call) == Live(Progress.RINGING_A)
    assert await switch.most_dials() == 1
    await gateway.hang_up(call.id)
    assert (await end_of(collector, call)).outcome is Outcome.CANCELLED


async def test_many_calls_are_placed_and_looked_for_at_once(
    switch: Switch, gateway: CallGateway, collector: EventCollector
) -> None:
    calls = [call_of(switch, "busy" if n % 2 else "unknown") for n in range(20)]
    assert {*await asyncio.gather(*map(gateway.place, calls))} == {PlaceResult.ACCEPTED}
    ends = await asyncio.gather(*(end_of(collector, call) for call in calls))
    known = await gateway.find([call.id for call in calls])
    assert [one.end for one in known if isinstance(one, Ended)] == ends
    assert [end.outcome for end in ends] == [Outcome.INVALID_NUMBER, Outcome.BUSY] * 10


@pytest.mark.parametrize("written", [False, True])
async def test_a_link_that_breaks_while_a_call_is_placed_leaves_it_unknown_and_find_decides(
    switch: Switch, gateway: CallGateway, collector: EventCollector, *, written: bool
) -> None:
    await switch.cut_next_place(written=written)
    call = call_of(switch, "rings", ring_s=LONG_S)
    assert await gateway.place(call) is PlaceResult.UNKNOWN
    await collector.until(is_link, count=3)
    up, down, again = filter(is_link, collector.events)
    assert isinstance(down, LinkDown)
    assert up == again, "the switch did not restart"
    if written:  # a switch may start it a moment later: absent calls are checked again before they count as lost
        await eventually_async(lambda: _lives(gateway, call))
    else:
        assert await found(gateway, call) == Absent()


async def test_a_switch_that_is_away_cannot_be_asked_and_what_is_placed_was_surely_not_sent(
    switch: Switch, gateway: CallGateway, collector: EventCollector
) -> None:
    call = call_of(switch, "rings", ring_s=LONG_S)
    async with switch.away():
        await collector.until(lambda event: isinstance(event, LinkDown))
        assert await gateway.place(call) is PlaceResult.REFUSED
        with pytest.raises(GatewayUnavailable):
            await gateway.find([call.id])
        with pytest.raises(GatewayUnavailable):
            await gateway.hang_up(call.id)
    await collector.until(is_link, count=3)
    assert await found(gateway, call) == Absent()
    await placed(gateway, call)


async def test_a_gateway_may_be_opened_before_its_switch(switch: Switch) -> None:
    async with switch.away():
        waiting = switch.gateway()
        gateway = await waiting.__aenter__()
        assert await gateway.place(call_of(switch)) is PlaceResult.REFUSED
    assert await reached(gateway)
    await waiting.__aexit__(None, None, None)


async def test_a_switch_that_falls_silent_is_not_waited_for_for_ever(switch: Switch) -> None:
    async with switch.gateway(timeout_s=0.5) as gateway, EventCollector(gateway) as collector:
        await collector.until(is_link)
        await switch.fall_silent()
        call = call_of(switch)
        async with asyncio.timeout(20):
            assert await gateway.place(call) is PlaceResult.UNKNOWN
            with pytest.raises(GatewayUnavailable):
                await gateway.find([call.id])
        await collector.until(lambda event: isinstance(event, LinkDown))


async def test_when_events_are_lost_find_alone_tells_all(
    switch: Switch, gateway: CallGateway, collector: EventCollector
) -> None:
    await switch.lose_events()
    rings = await placed(gateway, call_of(switch, "answers", "rings", ring_s=LONG_S))
    busy = await placed(gateway, call_of(switch, "busy"))

    async def both_known() -> bool:
        first, second = await gateway.find([rings.id, busy.id])
        return first == Live(Progress.RINGING_B) and isinstance(second, Ended)

    await eventually_async(both_known)
    assert [event for event in collector.events if not is_link(event)] == []


async def test_a_call_outlives_the_gateway_that_placed_it(switch: Switch) -> None:
    async with switch.gateway() as first:
        stamp = await reached(first)
        lives = await placed(first, call_of(switch, "rings", ring_s=LONG_S))
        ended = await placed(first, call_of(switch, "busy"))
    async with switch.gateway() as second, EventCollector(second) as collector:
        assert await reached(second) == stamp
        await eventually_async(lambda: _has_ended(second, ended))
        assert await found(second, lives) == Live(Progress.RINGING_A)
        await second.hang_up(lives.id)
        assert (await end_of(collector, lives)).outcome is Outcome.CANCELLED


async def _lives(gateway: CallGateway, call: Call) -> bool:
    return isinstance(await found(gateway, call), Live)


async def _has_ended(gateway: CallGateway, call: Call) -> bool:
    return isinstance(await found(gateway, call), Ended)


@pytest.mark.parametrize("keep_ledger", [True, False])
async def test_a_switch_that_starts_anew_has_another_stamp_and_no_channels(
    switch: Switch, gateway: CallGateway, collector: EventCollector, *, keep_ledger: bool
) -> None:
    ended = await placed(gateway, call_of(switch, "busy"))
    await end_of(collector, ended)
    lives = await placed(gateway, call_of(switch, "rings", ring_s=LONG_S))
    await came_to(collector, lives, Progress.RINGING_A)
    await switch.restart(keep_ledger=keep_ledger)
    await collector.until(is_link, count=3)
    up, _, again = filter(is_link, collector.events)
    assert isinstance(up, LinkUp)
    assert isinstance(again, LinkUp)
    assert up.started != again.started
    assert await found(gateway, lives) == Absent()
    assert isinstance(await found(gateway, ended), Ended if keep_ledger else Absent)


async def test_events_end_with_the_gateway(switch: Switch) -> None:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(switch.gateway())
        await reached(gateway)
        listening = asyncio.create_task(_listen(gateway))
        await stack.aclose()
        assert await asyncio.wait_for(listening, 20)


async def _listen(gateway: CallGateway) -> list[GatewayEvent]:
    return [event async for events in gateway.events() for event in events]
