"""Every outcome of a call on a real Asterisk, with the SIP responses of the phone (docs/asterisk.md)."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import uuid4

import pytest
from msgspec.structs import replace

from application.ports.call_gateway import Call, CallGateway, CallOver, CallProgressed, Ended, LinkUp, Progress
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.gateways.asterisk.client import AsteriskGateway
from infrastructure.gateways.asterisk.options import AsteriskOptions
from tests.asterisk.real_switch import RealSwitch
from tests.asterisk.server import SECRET, TRUNK, USER
from tests.support.switches import EventCollector

pytestmark = pytest.mark.anyio

RING_S = 2.0
LONG_S = 600.0


class Refusal(NamedTuple):
    """A phone's behaviour and the end of the call: outcome, SIP line, Q.850 cause, and DIALSTATUS when it is B."""

    prefix: str
    outcome: Outcome
    sip: str | None
    cause: int
    dial_status: str


REFUSALS = (
    Refusal("20", Outcome.BUSY, "SIP 486 Busy Here", 17, "BUSY"),
    Refusal("21", Outcome.BUSY, "SIP 600 Busy Everywhere", 17, "BUSY"),
    Refusal("23", Outcome.BUSY, "SIP 486 Busy Here", 17, "BUSY"),
    Refusal("31", Outcome.NO_ANSWER, "SIP 480 Temporarily Unavailable", 19, "NOANSWER"),
    Refusal("32", Outcome.NO_ANSWER, "SIP 408 Request Timeout", 18, "CHANUNAVAIL"),
    Refusal("40", Outcome.REJECTED, "SIP 603 Decline", 21, "CHANUNAVAIL"),
    Refusal("43", Outcome.REJECTED, "SIP 603 Decline", 21, "CHANUNAVAIL"),
    Refusal("41", Outcome.REJECTED, "SIP 403 Forbidden", 21, "CHANUNAVAIL"),
    Refusal("42", Outcome.REJECTED, "SIP 607 Unwanted", 127, "CHANUNAVAIL"),
    Refusal("50", Outcome.INVALID_NUMBER, "SIP 404 Not Found", 1, "CHANUNAVAIL"),
    Refusal("53", Outcome.INVALID_NUMBER, "SIP 604 Does Not Exist Anywhere", 1, "CHANUNAVAIL"),
    Refusal("52", Outcome.INVALID_NUMBER, "SIP 410 Gone", 22, "CHANUNAVAIL"),
    Refusal("51", Outcome.INVALID_NUMBER, "SIP 484 Address Incomplete", 28, "CHANUNAVAIL"),
    Refusal("60", Outcome.CONGESTION, "SIP 503 Service Unavailable", 34, "CONGESTION"),
    Refusal("61", Outcome.CONGESTION, "SIP 500 Server Internal Error", 38, "CHANUNAVAIL"),
    Refusal("63", Outcome.CONGESTION, "SIP 502 Bad Gateway", 27, "CHANUNAVAIL"),
    Refusal("64", Outcome.CONGESTION, "SIP 504 Server Time-out", 102, "CHANUNAVAIL"),
    Refusal("62", Outcome.CONGESTION, "SIP 488 Not Acceptable Here", 58, "CHANUNAVAIL"),
)
"""Phones that refuse; 23 and 43 after they have rung."""

SILENCES = (
    Refusal("30", Outcome.NO_ANSWER, "SIP 180 Ringing", 16, "NOANSWER"),
    Refusal("34", Outcome.NO_ANSWER, "SIP 100 Trying", 16, "NOANSWER"),
    Refusal("33", Outcome.CONGESTION, None, 16, "NOANSWER"),
)
"""Phones that ring in vain; the last does not exist: there is no response at all. When it is A, the cause is 19."""


@pytest.fixture
async def gateway(asterisk: RealSwitch) -> AsyncIterator[CallGateway]:
    host, _, port = asterisk.asterisk.address.partition(":")
    options = AsteriskOptions(host=host, port=int(port), user=USER, secret=SECRET, trunk=TRUNK)
    async with AsteriskGateway(options) as connected:
        yield connected


@pytest.fixture
async def collector(gateway: CallGateway) -> AsyncIterator[EventCollector]:
    async with EventCollector(gateway) as listening:
        await listening.until(lambda event: isinstance(event, LinkUp))
        yield listening


def call_of(a: str, b: str, *, ring_s: float = RING_S) -> Call:
    """Return a call between phones of these prefixes."""
    return Call(
        id=str(uuid4()),
        a_number=f"{a}001",
        b_number=f"{b}001",
        a_sees="200",
        b_sees="100",
        ring_a_s=ring_s,
        ring_b_s=ring_s,
    )


async def end_of(gateway: CallGateway, collector: EventCollector, call: Call) -> CallEnd:
    """Place a call; return its end, which must be the same in the ledger."""
    await gateway.place(call)
    over = await collector.until(lambda event: isinstance(event, CallOver) and event.call_id == call.id)
    assert isinstance(over, CallOver)
    (known,) = await gateway.find([call.id])
    assert isinstance(known, Ended)
    assert known.end == over.end
    return over.end


async def came_to(collector: EventCollector, call: Call, progress: Progress) -> None:
    await collector.until(lambda event: event == CallProgressed(call.id, progress))


def expected(refusal: Refusal, leg: Leg) -> CallEnd:
    silent = refusal in SILENCES
    return CallEnd(
        outcome=refusal.outcome,
        leg=leg,
        sip=refusal.sip,
        cause=19 if silent and leg is Leg.A else refusal.cause,
        dial_status=refusal.dial_status if leg is Leg.B else None,
    )


@pytest.mark.parametrize("leg", Leg)
async def test_whatever_a_phone_says_instead_of_answering_has_its_outcome_on_its_leg(
    gateway: CallGateway, collector: EventCollector, leg: Leg
) -> None:
    cases = REFUSALS + SILENCES
    calls = [call_of(*((case.prefix, "10") if leg is Leg.A else ("10", case.prefix))) for case in cases]
    ends = await asyncio.gather(*(end_of(gateway, collector, call) for call in calls))
    assert dict(zip(cases, ends, strict=True)) == {case: expected(case, leg) for case in cases}
    assert len(ends) == 21


async def test_an_end_that_no_phone_chose_has_its_outcome_too(
    gateway: CallGateway, collector: EventCollector, asterisk: RealSwitch
) -> None:
    joined, hung_up_a, hung_up_b = (call_of(a, b, ring_s=LONG_S) for a, b in (("11", "10"), ("30", "10"), ("10", "30")))
    abandoned = call_of("70", "30", ring_s=LONG_S)
    placed = [
        asyncio.create_task(end_of(gateway, collector, call)) for call in (joined, abandoned, hung_up_a, hung_up_b)
    ]
    for call, progress in ((hung_up_a, Progress.RINGING_A), (hung_up_b, Progress.RINGING_B)):
        await came_to(collector, call, progress)
        await gateway.hang_up(call.id)
    ends = await asyncio.gather(*placed)
    assert [(end.outcome, end.leg, end.dial_status) for end in ends] == [
        (Outcome.SUCCESS, None, "ANSWER"),
        (Outcome.ABANDONED, Leg.A, "CANCEL"),
        (Outcome.CANCELLED, Leg.A, None),
        (Outcome.CANCELLED, Leg.B, "CANCEL"),
    ]


async def test_what_an_orderly_stop_of_the_switch_cut_off_is_lost(
    gateway: CallGateway, collector: EventCollector, asterisk: RealSwitch
) -> None:
    ringing_a, ringing_b = ([call_of(a, b, ring_s=LONG_S) for _ in range(5)] for a, b in (("30", "10"), ("10", "30")))
    for call in ringing_a + ringing_b:
        await gateway.place(call)
    for call in ringing_a:
        await came_to(collector, call, Progress.RINGING_A)
    for call in ringing_b:
        await came_to(collector, call, Progress.RINGING_B)
    await asyncio.to_thread(asterisk.asterisk.stop)
    asterisk.asterisk.launch()
    await asyncio.to_thread(asterisk.asterisk.wait_until_booted)
    await collector.until(lambda event: isinstance(event, LinkUp), count=2)
    known = await gateway.find([call.id for call in ringing_a + ringing_b])
    assert [one.end.outcome for one in known if isinstance(one, Ended)] == [Outcome.LOST] * 10


async def test_a_call_over_an_endpoint_that_is_not_there_is_congestion(asterisk: RealSwitch) -> None:
    host, _, port = asterisk.asterisk.address.partition(":")
    options = AsteriskOptions(host=host, port=int(port), user=USER, secret=SECRET, trunk="nowhere")
    async with AsteriskGateway(options) as gateway, EventCollector(gateway) as collector:
        await collector.until(lambda event: isinstance(event, LinkUp))
        call = call_of("10", "10")
        await gateway.place(call)
        over = await collector.until(lambda event: isinstance(event, CallOver) and event.call_id == call.id)
    assert isinstance(over, CallOver)
    assert (over.end.outcome, over.end.leg, over.end.sip) == (Outcome.CONGESTION, Leg.A, None)


@pytest.mark.parametrize("prefix", ["80", "81"])
async def test_a_phone_cannot_write_another_outcome_into_the_ledger(
    gateway: CallGateway, collector: EventCollector, prefix: str
) -> None:
    as_a, as_b = call_of(prefix, "10"), call_of("10", prefix)
    for call, leg in ((as_a, Leg.A), (as_b, Leg.B)):
        end = await end_of(gateway, collector, call)
        assert (end.outcome, end.leg, end.cause) == (Outcome.BUSY, leg, 17)
        assert end.sip is not None
        assert end.sip.startswith("SIP 486 Busy")
        assert len(end.sip) <= 80


async def test_early_media_is_no_answer_yet(gateway: CallGateway, collector: EventCollector) -> None:
    call = replace(call_of("12", "12"), longest_talk_s=1)
    assert (await end_of(gateway, collector, call)).outcome is Outcome.SUCCESS


async def test_a_phone_that_forwards_its_calls_does_not_choose_whom_we_call(
    gateway: CallGateway, collector: EventCollector, asterisk: RealSwitch
) -> None:
    before = len(asterisk.phones.calls_of("1001"))
    ends = [await end_of(gateway, collector, call) for call in (call_of("90", "11"), call_of("11", "90"))]
    assert [end.outcome for end in ends] == [Outcome.CONGESTION, Outcome.BUSY]
    assert len(asterisk.phones.calls_of("1001")) == before


def test_each_outcome_is_asked_for() -> None:
    received = {case.outcome for case in REFUSALS + SILENCES}
    received |= {Outcome.SUCCESS, Outcome.ABANDONED, Outcome.CANCELLED, Outcome.LOST}
    assert received == {*Outcome} - {Outcome.NOT_DIALLED}  # the switch never receives such a call
