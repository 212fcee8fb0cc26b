"""Events of the port that the Asterisk adapter publishes for events of the switch."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from application.ports.call_gateway import CallOver, CallProgressed, LinkDown, LinkUp, Progress
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.gateways.asterisk import metrics
from infrastructure.gateways.asterisk.client import AsteriskGateway
from tests.support.fake_ami import FakeAmi, ReceivedAction, event
from tests.support.fake_ami_calls import BUSY, events_so_far, failure, hangup, has_row, over
from tests.support.switches import EventCollector
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ami() -> AsyncIterator[FakeAmi]:
    async with FakeAmi().serving() as serving:
        yield serving


@pytest.fixture
async def gateway(ami: FakeAmi) -> AsyncIterator[AsteriskGateway]:
    async with AsteriskGateway(ami.options()) as connected:
        yield connected


@pytest.fixture
async def collector(gateway: AsteriskGateway) -> AsyncIterator[EventCollector]:
    async with EventCollector(gateway) as listening:
        await listening.until(lambda event: isinstance(event, LinkUp))
        yield listening


async def test_a_call_is_followed_from_ringing_to_its_end(ami: FakeAmi, collector: EventCollector) -> None:
    call_id = str(uuid4())
    has_row(ami, "B|ANSWER|16|SIP 200 OK|SIP 200 OK|7|1795342060")
    dials, before = f"Uniqueid: {call_id}", metrics.MESSAGES._value.get()
    for text in (
        event("Newchannel", dials),
        event("DialState", f"DestUniqueid: {call_id}", "DialStatus: RINGING"),
        event("DialEnd", f"DestUniqueid: {call_id}", "DialStatus: ANSWER"),
        event("DialState", dials, "DestUniqueid: 1.1", "DialStatus: PROCEEDING"),
        event("DialState", dials, "DestUniqueid: 1.1", "DialStatus: PROGRESS"),
        event("DialEnd", dials, "DestUniqueid: 1.1", "DialStatus: ANSWER"),
        event("Hangup", "Uniqueid: 1.1", f"Linkedid: {call_id}"),
        hangup(call_id, f"ChanVariable: PEREZVON_CALL_ID={call_id}"),
    ):
        ami.send(text)
    end = await over(collector, call_id)
    assert collector.events[1:] == [
        CallProgressed(call_id, Progress.RINGING_A),
        CallProgressed(call_id, Progress.RINGING_B),
        CallProgressed(call_id, Progress.JOINED),
        CallOver(call_id, end),
    ]
    assert (end.outcome, end.seconds) == (Outcome.SUCCESS, 7.0)
    assert metrics.MESSAGES._value.get() == before + 8 + 3, "the ledger's answer is three messages"


async def test_calls_of_others_are_neither_told_nor_asked_about(ami: FakeAmi, collector: EventCollector) -> None:
    ami.send(event("DialState", "Uniqueid: 1795342060.7", "DestUniqueid: 1795342060.8", "DialStatus: RINGING"))
    ami.send(event("DialEnd", "DestUniqueid: 1795342060.8", "DialStatus: ANSWER"))
    ami.send(hangup("1795342060.7"))
    ami.send(hangup(str(uuid4()), "ChanVariable: PEREZVON_CALL_ID="))
    ami.send(failure("1795342060.7"))
    ami.send(failure(str(uuid4()), action_id="of another client"))
    ami.send(failure(ours := str(uuid4())))
    await over(collector, ours)
    assert [one.call_id for one in collector.events if not isinstance(one, LinkUp | LinkDown)] == [ours]
    assert {received.get("Key") for received in ami.actions("DBGet")} == {ours}


async def test_a_call_that_could_not_be_dialled_is_congestion_once_the_switch_knowssilence_of_it(
    ami: FakeAmi, collector: EventCollector
) -> None:
    call_id = str(uuid4())
    ami.send(failure(call_id))
    assert await over(collector, call_id) == CallEnd(outcome=Outcome.CONGESTION, leg=Leg.A, dial_status="FAILURE 0")
    order = [received.get("Action") for received in ami.received_actions]
    assert order.index("CoreShowChannels") < order.index("DBGet")


async def test_a_failed_call_with_a_row_has_ended_as_it_says(ami: FakeAmi, collector: EventCollector) -> None:
    has_row(ami)
    call_id = str(uuid4())
    ami.send(failure(call_id))
    assert await over(collector, call_id) == BUSY


async def test_a_failure_of_a_call_that_lives_is_of_an_id_sent_again_and_endssilence(
    ami: FakeAmi, collector: EventCollector
) -> None:
    lives, failed = str(uuid4()), str(uuid4())
    ami.replies["CoreShowChannels"] = lambda received: received.listed((f"Uniqueid: {lives}", "ChannelStateDesc: Up"))
    ami.send(failure(lives) + failure(failed))
    await over(collector, failed)
    assert [one.call_id for one in collector.events if isinstance(one, CallOver)] == [failed]
    assert len(ami.actions("CoreShowChannels")) == 1, "they are looked for together"


async def test_a_call_that_told_its_end_itself_is_not_looked_for_again(ami: FakeAmi, collector: EventCollector) -> None:
    has_row(ami)
    first, second = str(uuid4()), str(uuid4())
    ami.send(failure(first) + hangup(first) + failure(second))
    await over(collector, second)
    assert [one.call_id for one in collector.events if isinstance(one, CallOver)] == [first, second]


async def test_a_call_without_a_row_is_counted_and_its_end_is_not_made_up(
    ami: FakeAmi, collector: EventCollector
) -> None:
    before = metrics.MISSING_ROWS._value.get()
    ami.send(hangup(str(uuid4())))
    await eventually_async(lambda: _is(metrics.MISSING_ROWS._value.get() == before + 1))
    assert await events_so_far(ami, collector) == []


async def _is(answer: bool) -> bool:  # noqa: FBT001 - what is to become true
    return answer


async def test_trouble_in_asking_about_an_end_endssilence(ami: FakeAmi, collector: EventCollector) -> None:
    ami.replies["DBGet"] = lambda received: received.refused("Permission denied")
    failed, ended = str(uuid4()), str(uuid4())
    ami.send(failure(failed) + hangup(ended))
    await eventually_async(lambda: _is(len(ami.actions("CoreShowChannels")) == 1))
    assert await events_so_far(ami, collector) == []


async def test_what_happens_before_link_up_is_not_told(ami: FakeAmi) -> None:
    call_id, usual = str(uuid4()), ami.replies["CoreStatus"]

    def early(received: ReceivedAction) -> bytes:
        return event("DialState", f"DestUniqueid: {call_id}", "DialStatus: RINGING") + usual(received)

    ami.replies["CoreStatus"] = early
    async with AsteriskGateway(ami.options()) as gateway, EventCollector(gateway) as collector:
        await collector.until(lambda event: isinstance(event, LinkUp))
        assert await events_so_far(ami, collector) == []
