"""Calls through the fake Manager Interface: its events, and the ends that the adapter publishes."""

from uuid import uuid4

from application.ports.call_gateway import Call, CallOver, LinkUp
from domain.callback.events import CallEnd, Leg, Outcome
from tests.support.fake_ami import FakeAmi, ReceivedAction, event
from tests.support.switches import EventCollector

BUSY_ROW = "A||17|SIP 486 Busy Here|||1795342060"
BUSY = CallEnd(outcome=Outcome.BUSY, leg=Leg.A, sip="SIP 486 Busy Here", cause=17)


def new_call() -> Call:
    return Call(id=str(uuid4()), a_number="+77010001001", b_number="101", a_sees="101", b_sees="100")


def has_row(ami: FakeAmi, row: str = BUSY_ROW) -> None:
    ami.replies["DBGet"] = lambda received: received.listed((f"Key: {received.get('Key')}", f"Val: {row}"))


def hangup(call_id: str, *lines: str) -> bytes:
    return event("Hangup", f"Uniqueid: {call_id}", f"Linkedid: {call_id}", *lines, "Cause: 17")


def failure(call_id: str, action_id: str = "perezvon-9") -> bytes:
    return event(
        "OriginateResponse", f"ActionID: {action_id}", "Response: Failure", "Reason: 0", f"Uniqueid: {call_id}"
    )


async def over(collector: EventCollector, call_id: str) -> CallEnd:
    event = await collector.until(lambda event: isinstance(event, CallOver) and event.call_id == call_id)
    assert isinstance(event, CallOver)
    return event.end


async def events_so_far(ami: FakeAmi, collector: EventCollector) -> list[object]:
    """Return the events up to the end of a further call."""
    last = str(uuid4())
    has_row(ami)
    ami.send(hangup(last))
    await over(collector, last)
    return [one for one in collector.events if not isinstance(one, LinkUp) and one != CallOver(last, BUSY)]


def silence(_: ReceivedAction) -> bytes:
    """Send no response."""
    return b""
