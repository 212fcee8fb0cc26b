"""Switches on which the contract tests of the port CallGateway run, and what these tests need of each."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, Self

import msgspec

from application.ports.call_gateway import CallGateway, GatewayEvent
from infrastructure.gateways.asterisk.client import AsteriskGateway
from infrastructure.gateways.asterisk.options import AsteriskOptions
from infrastructure.gateways.simulated.address import address_of, listen
from infrastructure.gateways.simulated.client import SimulatedGateway
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.faults import Faults
from infrastructure.gateways.simulated.network import Network
from infrastructure.gateways.simulated.server import serving
from tests.asterisk.processes import free_port
from tests.asterisk.real_switch import RealSwitch
from tests.asterisk.server import SECRET, TRUNK, USER
from tests.support.ami_relay import AmiRelay


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """A number for each behaviour of a phone; a phone that answers talks until another party ends the call."""

    answers: str
    busy: str
    rings: str
    rejects: str
    unknown: str
    congested: str
    leaves: str


class Switch(Protocol):
    """A switch with phones behind it, in which faults can be injected."""

    numbers: Numbers
    ring_s: float
    """Maximum ring time: enough for a phone that answers, and short for a test that waits for it."""
    talk_s: float
    """Talk time of a call that is to end soon."""

    def gateway(self, *, timeout_s: float = 5.0) -> AbstractAsyncContextManager[CallGateway]:
        """Return a connection to it, which waits at most ``timeout_s`` for each response."""
        ...

    async def most_dials(self) -> int:
        """Return the largest number of dials of one id."""
        ...

    async def cut_next_place(self, *, written: bool) -> None:
        """Cut the link at the next request to place a call: before it reaches the switch, or after that."""
        ...

    async def lose_events(self) -> None:
        """Drop all events from now on."""
        ...

    async def fall_silent(self) -> None:
        """Send no more responses, and keep all links."""
        ...

    async def restart(self, *, keep_ledger: bool) -> None:
        """Crash and restart."""
        ...

    def away(self) -> AbstractAsyncContextManager[None]:
        """Stay unreachable until the context ends; calls continue."""
        ...


class SimulatedSwitch:
    """The simulated network behind a socket, in this process, at twenty times its speed."""

    numbers = Numbers(
        answers="+77010001001",
        busy="+77010002001",
        rings="+77010003001",
        rejects="+77010004001",
        unknown="+77010005001",
        congested="+77010006001",
        leaves="+77010007001",
    )
    ring_s, talk_s = 4.0, 2.0

    def __init__(self) -> None:
        self._network = Network(speed=20, talks_s=3600)
        self._serving = AsyncExitStack()
        self._address = "127.0.0.1:0"

    async def open(self) -> None:
        listener = listen(self._address)
        self._address = address_of(listener)
        await self._serving.enter_async_context(serving(self._network, listener))

    async def close(self) -> None:
        await self._serving.aclose()

    def gateway(self, *, timeout_s: float = 5.0) -> AbstractAsyncContextManager[CallGateway]:
        return SimulatedGateway(self._address, timeout_s=timeout_s)

    async def most_dials(self) -> int:
        return self._network.counts().most_dials

    async def cut_next_place(self, *, written: bool) -> None:
        self._network.faults = Faults(cut_after=1) if written else Faults(cut_before=1)

    async def lose_events(self) -> None:
        self._network.faults = Faults(lose=1)

    async def fall_silent(self) -> None:
        self._network.faults = Faults(silent=True)

    async def restart(self, *, keep_ledger: bool) -> None:
        async with Control(self._address) as control:
            await control.restart(keep_ledger=keep_ledger)

    @asynccontextmanager
    async def away(self) -> AsyncGenerator[None]:
        await self.close()
        try:
            yield
        finally:
            await self.open()


@asynccontextmanager
async def simulated_switch() -> AsyncGenerator[Switch]:
    """Yield the simulated switch."""
    switch = SimulatedSwitch()
    await switch.open()
    try:
        yield switch
    finally:
        await switch.close()


class AsteriskSwitch:
    """A real Asterisk with phones behind it, its Manager Interface reached by way of a relay.

    Each instance has numbers of its own, though one Asterisk serves all.
    """

    ring_s, talk_s = 2.0, 1.0
    _serial = itertools.count()

    def __init__(self, real: RealSwitch) -> None:
        self._asterisk, self._phones = real.asterisk, real.phones
        self._port = free_port()
        self.relay = AmiRelay(self._port, real.asterisk.port)
        number = f"{next(self._serial):05}"
        self.numbers = Numbers(
            answers=f"10{number}",
            busy=f"20{number}",
            rings=f"30{number}",
            rejects=f"40{number}",
            unknown=f"50{number}",
            congested=f"60{number}",
            leaves=f"70{number}",
        )

    def gateway(self, *, timeout_s: float = 5.0) -> AbstractAsyncContextManager[CallGateway]:
        return AsteriskGateway(
            AsteriskOptions(host="127.0.0.1", port=self._port, user=USER, secret=SECRET, trunk=TRUNK),
            timeout_s=timeout_s,
        )

    async def most_dials(self) -> int:
        """Return how often a number of this switch was dialled, by its phones' record."""
        called = Counter(invite.number for invite in self._phones.invites())
        return max(called[number] for number in msgspec.structs.astuple(self.numbers))

    async def cut_next_place(self, *, written: bool) -> None:
        self.relay.cuts_place = written

    async def lose_events(self) -> None:
        self.relay.loses_events = True

    async def fall_silent(self) -> None:
        self._asterisk.freeze()

    async def restart(self, *, keep_ledger: bool) -> None:
        if keep_ledger:
            await asyncio.to_thread(self._asterisk.commit_ledger)
        self._asterisk.kill()
        if not keep_ledger:
            self._asterisk.forget_ledger()
        self._asterisk.launch()
        await asyncio.to_thread(self._asterisk.wait_until_booted)

    @asynccontextmanager
    async def away(self) -> AsyncGenerator[None]:
        await self.relay.shut()
        try:
            yield
        finally:
            await self.relay.open()

    def tidy_up(self) -> None:
        """End the calls that are still live."""
        self._asterisk.thaw()
        self._asterisk.command("channel request hangup all")
        self._phones.check()


@asynccontextmanager
async def asterisk_switch(real: RealSwitch) -> AsyncGenerator[Switch]:
    """Yield the real switch."""
    switch = AsteriskSwitch(real)
    async with switch.relay:
        try:
            yield switch
        finally:
            switch.tidy_up()


SWITCHES: Mapping[str, Callable[[Callable[[str], Any]], AbstractAsyncContextManager[Switch]]] = {
    "simulated": lambda _fixture: simulated_switch(),
    "asterisk": lambda fixture: asterisk_switch(fixture("asterisk")),
}
"""The switch of each gateway. Each takes a function that returns the value of a pytest fixture."""


class EventCollector:
    """Collects all events of a gateway, from ``async with`` on."""

    def __init__(self, gateway: CallGateway) -> None:
        self._gateway = gateway
        self._more = asyncio.Event()
        self.events: list[GatewayEvent] = []

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def until(self, predicate: Callable[[GatewayEvent], bool], *, count: int = 1) -> GatewayEvent:
        """Wait for ``count`` events that match; return the last of them."""
        async with asyncio.timeout(20):
            while len(found := [event for event in self.events if predicate(event)]) < count:
                self._more.clear()
                await self._more.wait()
        return found[count - 1]

    async def _listen(self) -> None:
        async for events in self._gateway.events():
            self.events += events
            self._more.set()
