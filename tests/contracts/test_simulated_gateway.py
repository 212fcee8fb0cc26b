"""The simulated network and its client, beyond the port's contract."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from application.ports.call_gateway import Call, CallOver, GatewayUnavailable, LinkDown, LinkUp, PlaceResult
from domain.callback.events import Outcome
from infrastructure.gateways.simulated.address import address_of, listen
from infrastructure.gateways.simulated.client import SimulatedGateway
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.faults import Faults
from infrastructure.gateways.simulated.network import Network
from infrastructure.gateways.simulated.server import serving
from tests.support.switches import EventCollector

pytestmark = pytest.mark.anyio


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Yield the address of a network in which calls take no time."""
    listener = listen("127.0.0.1:0")
    async with serving(Network(speed=1e9), listener):
        yield address_of(listener)


def busy(call_id: str) -> Call:
    return Call(id=call_id, a_number="2001", b_number="1001", a_sees="1001", b_sees="2001")


async def test_it_counts_what_was_dialled(address: str) -> None:
    async with SimulatedGateway(address) as gateway, EventCollector(gateway) as collector, Control(address) as control:
        await collector.until(lambda _event: True)
        for call_id in ("once", "twice", "twice"):
            await gateway.place(busy(call_id))
        counts = await control.counts()
    assert (counts.placed, counts.most_dials, counts.dialled_again, counts.examples) == (3, 2, 1, ["twice"])
    assert (counts.running, counts.most, counts.outcomes) == (0, 1, {Outcome.BUSY: 3})


async def test_things_go_wrong_on_demand_until_they_are_put_right(address: str) -> None:
    async with SimulatedGateway(address) as gateway, EventCollector(gateway) as collector, Control(address) as control:
        await collector.until(lambda _event: True)
        await control.disturb(Faults(refuse=True))
        assert await gateway.place(busy("refused")) is PlaceResult.REFUSED
        await control.disturb(Faults(silent=True))
        await control.disturb(Faults(double=1))
        await gateway.place(busy("doubled"))
        await collector.until(lambda event: isinstance(event, CallOver), count=2)
        await control.disturb(Faults())
        await gateway.place(busy("plain"))
        await collector.until(lambda event: isinstance(event, CallOver), count=3)
    assert [event.call_id for event in collector.events if isinstance(event, CallOver)] == [
        "doubled",
        "doubled",
        "plain",
    ]


async def test_a_restart_on_demand_is_answered_and_cuts_all_links(address: str) -> None:
    async with SimulatedGateway(address) as gateway, EventCollector(gateway) as collector:
        await collector.until(lambda _event: True)
        async with Control(address) as control:
            await control.restart(keep_ledger=True)
            with pytest.raises(GatewayUnavailable):
                await control.counts()
        await collector.until(lambda event: isinstance(event, LinkUp), count=2)
    assert [type(event) for event in collector.events[:3]] == [LinkUp, LinkDown, LinkUp]


async def test_who_does_not_listen_loses_the_link_and_so_knows_that_something_was_missed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.gateways.event_buffer._BUFFERED_MAX", 2)
    async with SimulatedGateway(address) as gateway:
        events = gateway.events()
        assert isinstance((await anext(events))[0], LinkUp)
        assert {await gateway.place(busy(str(n))) for n in range(2)} == {PlaceResult.ACCEPTED}
        async with EventCollector(gateway) as collector:
            await gateway.place(busy("one too many"))
            await collector.until(lambda event: isinstance(event, LinkUp), count=2)
        assert [type(event) for event in await anext(events)] == [LinkDown, LinkUp]


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b'{"n":1,"what":{"type":"dance"}}\n', b"\xff\n"])
async def test_who_speaks_nonsense_is_cut_off_and_nobody_else(address: str, line: bytes) -> None:
    async with Control(address) as control:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(line)
        assert await asyncio.wait_for(_rest_of(reader), 20) == b""
        writer.close()
        assert (await control.counts()).placed == 0


async def _rest_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_who_is_told_nothing_of_what_happens_did_not_ask_for_it(address: str) -> None:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b'{"n":7,"what":{"type":"place","call":{"id":"x","a_number":"2001","b_number":"1001","a_sees":"","b_sees":""}}}\n'
    )
    assert await reader.readline() == b'{"type":"answered","n":7,"what":{"type":"placed","placed":"accepted"}}\n'
    writer.write(b'{"n":8,"what":{"type":"find","call_ids":["y"]}}\n')
    assert await reader.readline() == b'{"type":"answered","n":8,"what":{"type":"found","known":[[null,null,null]]}}\n'
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("nowhere", ["./no.sock", "127.0.0.1:1", "127.0.0.1:99999"])
async def test_that_nobody_is_there_is_told(nowhere: str) -> None:
    with pytest.raises(GatewayUnavailable, match=nowhere):
        async with Control(nowhere):
            pass
