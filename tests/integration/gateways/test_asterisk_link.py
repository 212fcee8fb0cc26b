"""The link to Asterisk: login, TLS, and a Manager Interface that sends garbage, stops, stalls or floods."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from application.ports.call_gateway import (
    CallOver,
    CallProgressed,
    GatewayUnavailable,
    LinkDown,
    LinkUp,
    PlaceResult,
    Progress,
)
from infrastructure.gateways.asterisk.ami import ActionRefused, Ami, LoginRefused
from infrastructure.gateways.asterisk.client import AsteriskGateway
from infrastructure.gateways.asterisk.options import AsteriskOptions
from tests.asterisk.real_switch import RealSwitch
from tests.asterisk.server import SECRET as REAL_SECRET
from tests.asterisk.server import TRUNK, USER
from tests.support.certificates import certificate_for
from tests.support.fake_ami import CHALLENGE, GREETING, SECRET, FakeAmi, ReceivedAction, event, message
from tests.support.fake_ami_calls import BUSY, events_so_far, hangup, has_row, new_call, over, silence
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


@pytest.mark.parametrize("action", ["Challenge", "Login"])
async def test_a_refused_login_is_told_apart_from_a_switch_that_is_away(ami: FakeAmi, action: str) -> None:
    ami.replies[action] = lambda received: received.refused("Not today")
    with pytest.raises(LoginRefused, match="Not today") as refusal:
        async with Ami(ami.options()):
            pass
    assert refusal.value.reason == "Not today"
    assert SECRET.encode() not in ami.received
    ami.port = 1
    with pytest.raises(GatewayUnavailable, match=r"127\.0\.0\.1:1") as away:
        async with Ami(ami.options()):
            pass
    assert not isinstance(away.value, ActionRefused)


async def test_a_switch_that_does_not_tell_when_it_started_is_away(ami: FakeAmi) -> None:
    ami.replies["CoreStatus"] = ReceivedAction.done
    async with AsteriskGateway(ami.options()) as gateway:
        await eventually_async(lambda: _is(len(ami.actions("CoreStatus")) >= 2))
        assert await gateway.place(new_call()) is PlaceResult.REFUSED


async def test_a_wrong_secret_is_not_shown_and_there_is_no_link(ami: FakeAmi) -> None:
    with capture_logs() as log:
        async with AsteriskGateway(ami.options(secret="guessed")) as gateway:
            await eventually_async(lambda: _is(len(ami.actions("Login")) >= 2))
            assert await gateway.place(new_call()) is PlaceResult.REFUSED
    assert "Authentication failed" in str(log)
    assert "guessed" not in str(log)
    assert b"guessed" not in ami.received


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"Asterisk Call Manager/" + b"1" * 1000, b"\r\n\r\n"])
async def test_who_is_no_manager_interface_is_not_logged_in_to(ami: FakeAmi, greeting: bytes) -> None:
    ami.greeting = greeting
    ami.replies["Challenge"] = silence
    async with asyncio.timeout(20):
        with pytest.raises(GatewayUnavailable):
            async with Ami(ami.options(), timeout_s=60):
                pass
    assert ami.actions("Login") == []


@pytest.mark.parametrize("host", ["no..host", "a" * 70 + ".example"])
async def test_a_host_that_cannot_be_is_away(ami: FakeAmi, host: str) -> None:
    with pytest.raises(GatewayUnavailable, match=host):
        async with Ami(ami.options(host=host)):
            pass


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[FakeAmi, Path]]:
    certificate, key = certificate_for("localhost", tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with FakeAmi(tls=context).serving() as serving:
        yield serving, certificate


async def test_calls_are_placed_over_tls(secure: tuple[FakeAmi, Path]) -> None:
    ami, certificate = secure
    tls = ssl.create_default_context(cafile=certificate)
    async with AsteriskGateway(ami.options(host="localhost", tls=tls)) as gateway, EventCollector(gateway) as collector:
        await collector.until(lambda event: isinstance(event, LinkUp))
        assert await gateway.place(new_call()) is PlaceResult.ACCEPTED


async def test_a_real_asterisk_is_dialled_over_tls(asterisk: RealSwitch) -> None:
    host, _, port = asterisk.asterisk.tls_address.partition(":")
    tls = ssl.create_default_context(cafile=asterisk.asterisk.certificate)
    options = AsteriskOptions(host=host, port=int(port), user=USER, secret=REAL_SECRET, trunk=TRUNK, tls=tls)
    async with AsteriskGateway(options) as gateway, EventCollector(gateway) as collector:
        await collector.until(lambda event: isinstance(event, LinkUp))
        call = replace(new_call(), a_number="20001")
        assert await gateway.place(call) is PlaceResult.ACCEPTED
        assert await over(collector, call.id) == BUSY


@pytest.mark.parametrize(("host", "is_trusted"), [("localhost", False), ("127.0.0.1", True)])
async def test_a_switch_that_cannot_prove_its_name_is_sentsilence(
    secure: tuple[FakeAmi, Path], host: str, *, is_trusted: bool
) -> None:
    ami, certificate = secure
    tls = ssl.create_default_context(cafile=certificate if is_trusted else None)
    with pytest.raises(GatewayUnavailable, match="certificate verify failed"):
        async with Ami(ami.options(host=host, tls=tls)):
            pass
    assert ami.received == b""


async def test_plain_text_to_a_port_of_tls_and_the_other_way_round_is_a_switch_that_is_away(
    secure: tuple[FakeAmi, Path], ami: FakeAmi
) -> None:
    for options in (secure[0].options(), ami.options(tls=ssl.create_default_context())):
        with pytest.raises(GatewayUnavailable):
            async with Ami(options, timeout_s=0.5):
                pass


async def test_a_message_without_an_end_costs_the_link(ami: FakeAmi) -> None:
    async with AsteriskGateway(ami.options(), timeout_s=60) as gateway, EventCollector(gateway) as collector:
        await collector.until(lambda event: isinstance(event, LinkUp))
        ami.send(b"Event: Endless\r\nKey: " + b"x" * 2**18)
        await collector.until(lambda event: isinstance(event, LinkUp), count=2)
    assert [type(event) for event in collector.events[:3]] == [LinkUp, LinkDown, LinkUp]


async def test_a_list_without_an_end_costs_the_link(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.gateways.asterisk.ami._ITEMS_MAX", 3)
    ami.replies["CoreShowChannels"] = lambda received: received.listed(*[("Uniqueid: 1.1",)] * 4)
    with pytest.raises(GatewayUnavailable):
        await gateway.find([str(uuid4())])
    await collector.until(lambda event: isinstance(event, LinkDown))


async def test_a_switch_that_stops_is_let_go_at_once(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector
) -> None:
    ami.replies["DBGet"] = lambda received: received.refused("Asterisk is shutting down")
    with pytest.raises(GatewayUnavailable, match="shutting down"):
        await gateway.find([str(uuid4())])
    await collector.until(lambda event: isinstance(event, LinkDown))


async def test_an_idle_switch_is_asked_for_a_sign_of_life_and_one_that_gives_none_is_let_go(ami: FakeAmi) -> None:
    async with AsteriskGateway(ami.options(), timeout_s=0.5) as gateway, EventCollector(gateway) as collector:
        await eventually_async(lambda: _is(len(ami.actions("Ping")) >= 2))
        assert not any(isinstance(one, LinkDown) for one in collector.events)
        ami.replies["Ping"] = silence
        await collector.until(lambda event: isinstance(event, LinkDown))


async def test_a_switch_that_tells_much_and_answerssilence_is_let_go(ami: FakeAmi) -> None:
    async with AsteriskGateway(ami.options(), timeout_s=0.5) as gateway, EventCollector(gateway) as collector:
        await collector.until(lambda event: isinstance(event, LinkUp))
        ami.replies["Originate"] = silence
        chatting = asyncio.create_task(_chat(ami))
        assert await gateway.place(new_call()) is PlaceResult.UNKNOWN
        await collector.until(lambda event: isinstance(event, LinkDown))
        chatting.cancel()


async def _chat(ami: FakeAmi) -> None:
    while True:
        ami.send(event("Newstate", "Uniqueid: 1.1"))
        await asyncio.sleep(0.01)


async def test_nonsense_and_answers_to_nobody_changesilence(
    ami: FakeAmi, gateway: AsteriskGateway, collector: EventCollector
) -> None:
    for text in (
        b"\r\n\r\n\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\xff\xfe\0\r\n\r\n",
        b"Event: \r\n\r\n",
        b"Event: Hangup\r\nPrivilege: call,all\r\n\r\n",
        b"Event: DialEnd\r\nPrivilege: call,all\r\n\r\n",
        b"Event: OriginateResponse\r\nPrivilege: call,all\r\n\r\n",
        message("Response: Success", "ActionID: perezvon-999"),
        message("Response: Error", "Message: Missing action in request"),
        message("Event: Item", "ActionID: perezvon-999", "EventList: Complete"),
        event("Hangup", f"Uniqueid: {'1' * 60_000}"),
    ):
        ami.send(text)
    assert await gateway.place(new_call()) is PlaceResult.ACCEPTED
    assert await events_so_far(ami, collector) == []


async def test_messages_are_read_however_they_are_cut_into_packets(ami: FakeAmi, collector: EventCollector) -> None:
    call_id = str(uuid4())
    text = event("Newchannel") + event("DialState", f"DestUniqueid: {call_id}", "DialStatus: RINGING") + hangup(call_id)
    has_row(ami)
    for n in range(len(text)):
        ami.send(text[n : n + 1])
        await asyncio.sleep(0)
    assert await over(collector, call_id) == BUSY
    assert collector.events[1:] == [CallProgressed(call_id, Progress.RINGING_A), CallOver(call_id, BUSY)]


async def test_the_greeting_may_come_in_pieces(ami: FakeAmi) -> None:
    ami.greeting = GREETING[:9]
    ami.replies["Challenge"] = lambda received: GREETING[9:] + received.done(f"Challenge: {CHALLENGE}")
    async with Ami(ami.options()) as session:
        assert (await session.request("CoreStatus")).message.get("CoreStartupDate") == "2026-11-22"


async def test_an_action_may_be_refused_and_a_list_asked_for_by_whoever_looks_into_the_switch(ami: FakeAmi) -> None:
    ami.replies["ShowDialPlan"] = lambda received: received.listed(("Extension: s",), ("Extension: t",))
    ami.replies["Command"] = lambda received: received.refused("Permission denied")
    async with Ami(ami.options()) as session:
        plan = await session.request("ShowDialPlan", Context="perezvon")
        assert [step.get("Extension") for step in plan.items] == ["s", "t"]
        with pytest.raises(ActionRefused) as refusal:
            await session.request("Command", Command="core show version")
    assert refusal.value.reason == "Permission denied"
    assert ami.actions("Login")[0].get("Events") == "off"
    with pytest.raises(GatewayUnavailable):
        await session.request("Ping")


async def _is(answer: bool) -> bool:  # noqa: FBT001 - what is to become true
    return answer
