"""Requests and responses of the Asterisk adapter, beyond the port's contract."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from application.ports.call_gateway import Absent, Ended, GatewayUnavailable, LinkUp, Live, PlaceResult, Progress
from infrastructure.gateways.asterisk import metrics
from infrastructure.gateways.asterisk.client import AsteriskGateway
from tests.support.fake_ami import CHALLENGE, SECRET, FakeAmi, ReceivedAction
from tests.support.fake_ami_calls import BUSY, BUSY_ROW, has_row, new_call
from tests.support.switches import EventCollector

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


async def test_the_secret_is_not_sent_and_only_events_of_calls_are_asked_for(
    ami: FakeAmi, collector: EventCollector
) -> None:
    (login,) = ami.actions("Login")
    assert (login.get("AuthType"), login.get("Events")) == ("MD5", "call")
    assert SECRET.encode() not in ami.received
    assert CHALLENGE.encode() not in ami.received


@pytest.mark.parametrize("field", ["a_number", "b_number", "a_sees", "b_sees", "id"])
@pytest.mark.parametrize(
    "harm",
    ["1001\r\n\r\nAction: Hangup\r\nChannel: /.*/", "1001&PJSIP/00", "1001/1", "1001@x", "1001,9", "1001|9", "1\0"],
)
async def test_what_would_alter_an_action_or_a_dial_string_never_reaches_the_switch_nor_the_log(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector, field: str, harm: str
) -> None:
    before, refused = ami.received, metrics.UNDIALABLE._value.get()
    with capture_logs() as log:
        assert await gateway.place(replace(new_call(), **{field: harm})) is PlaceResult.REFUSED
    assert [entry["part"] for entry in log if entry["event"] == "undialable call refused"] == [field]
    assert metrics.UNDIALABLE._value.get() == refused + 1
    assert field == "id" or harm not in str(log)
    assert await gateway.place(new_call()) is PlaceResult.ACCEPTED
    assert len(ami.actions("Originate")) == 1
    assert ami.received.removeprefix(before).count(b"Action: ") == 1


@pytest.mark.parametrize("harm", ["/.*/", "PJSIP/trunk-00000001", "x\r\nAction: Command", ""])
async def test_what_is_no_id_of_a_call_is_never_hung_up(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector, harm: str
) -> None:
    await gateway.hang_up(harm)
    await gateway.hang_up(call_id := str(uuid4()))
    assert [(received.get("Channel"), received.get("Cause")) for received in ami.actions("Hangup")] == [(call_id, "8")]


async def test_an_id_with_a_line_break_is_not_looked_for(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector
) -> None:
    with pytest.raises(ValueError, match="line break"):
        await gateway.find(["x\r\nAction: Command"])
    assert b"Command" not in ami.received


async def test_a_call_that_the_switch_refuses_is_refused(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector
) -> None:
    ami.replies["Originate"] = lambda received: received.refused("Permission denied")
    before = metrics.ACTIONS.labels("Originate", "refused")._value.get()
    assert await gateway.place(new_call()) is PlaceResult.REFUSED
    assert metrics.ACTIONS.labels("Originate", "refused")._value.get() == before + 1


async def test_a_hang_up_that_is_refused_is_told_unless_the_call_is_over(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector
) -> None:
    ami.replies["Hangup"] = lambda received: received.refused("No such channel")
    await gateway.hang_up(str(uuid4()))
    ami.replies["Hangup"] = lambda received: received.refused("Permission denied")
    with pytest.raises(GatewayUnavailable, match="Permission denied"):
        await gateway.hang_up(str(uuid4()))


@pytest.mark.parametrize("action", ["CoreShowChannels", "DBGet"])
@pytest.mark.parametrize("why", ["Permission denied", "Database entry not found.", "", "Invalid/unknown command"])
async def test_only_one_refusal_means_that_there_is_no_row_and_any_other_tellssilence(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector, action: str, why: str
) -> None:
    call_id = str(uuid4())
    assert await gateway.find([call_id]) == [Absent()]
    ami.replies[action] = lambda received: received.refused(why)
    with pytest.raises(GatewayUnavailable):
        await gateway.find([call_id])


async def test_an_answer_without_a_row_tellssilence(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector
) -> None:
    for answer in (ReceivedAction.done, ReceivedAction.listed):
        ami.replies["DBGet"] = answer
        with pytest.raises(GatewayUnavailable, match="no row"):
            await gateway.find([str(uuid4())])


async def test_channels_are_listed_before_the_ledger_is_asked(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector
) -> None:
    call_id = str(uuid4())

    def ends_meanwhile(received: ReceivedAction) -> bytes:
        has_row(ami)
        return received.listed()

    ami.replies["CoreShowChannels"] = ends_meanwhile
    (found,) = await gateway.find([call_id])
    assert isinstance(found, Ended)
    assert found.end == BUSY


async def test_a_call_lives_by_its_channels_and_is_joined_when_both_are_up(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector
) -> None:
    ringing, waiting, bridged, answered, transferred, strange, ended = ids = [str(uuid4()) for _ in range(7)]

    def channel(unique: str, linked: str, state: str, *more: str) -> tuple[str, ...]:
        return (f"ChannelStateDesc: {state}", f"Uniqueid: {unique}", f"Linkedid: {linked}", *more)

    ami.replies["CoreShowChannels"] = lambda received: received.listed(
        channel(ringing, ringing, "Ringing"),
        channel(waiting, waiting, "Up", "BridgeId: "),
        channel("1.2", waiting, "Ringing"),
        channel(bridged, bridged, "Up", "BridgeId: 7"),
        channel("1.3", answered, "Up"),
        channel(answered, answered, "Up", "BridgeId: "),
        channel("1.4", "1.0", "Up", f"ChanVariable: PEREZVON_CALL_ID={transferred}", "BridgeId: 8"),
        channel("1.7", "1.0", "Up", f"ChanVariable: PEREZVON_CALL_ID={strange}", "BridgeId: "),
        channel("1.5", ended, "Up", f"ChanVariable: PEREZVON_CALL_ID={ended}"),
        channel("1.6", "1.6", "Up", "ChanVariable: PEREZVON_CALL_ID="),
    )
    ami.replies["DBGet"] = lambda received: (
        received.listed((f"Val: {BUSY_ROW}",))
        if received.get("Key") == ended
        else received.refused("Database entry not found")
    )
    *live, last = await gateway.find(ids)
    assert live == [
        Live(Progress.RINGING_A),
        Live(Progress.RINGING_B),
        Live(Progress.JOINED),
        Live(Progress.JOINED),
        Live(Progress.JOINED),
        Live(Progress.RINGING_B),
    ]
    assert isinstance(last, Ended), "a row counts more than channels that are left of it"
    assert {received.get("Key") for received in ami.actions("DBGet")} == {transferred, strange, ended}
