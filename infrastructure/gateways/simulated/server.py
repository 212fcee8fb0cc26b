"""The simulated phone network behind a socket: a process of its own, dialled as a switch would be."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import inf

import msgspec
from msgspec.structs import replace

from infrastructure.gateways.simulated.link import Link
from infrastructure.gateways.simulated.network import Network
from infrastructure.gateways.simulated.protocol import (
    Count,
    CountResponse,
    Disturb,
    Done,
    Events,
    Find,
    FindResponse,
    HangUp,
    Hello,
    Place,
    PlaceResponse,
    Request,
    RequestBody,
    Response,
    ResponseBody,
    Restart,
    Welcome,
)
from infrastructure.gateways.simulated.translation import call_event_of, known_of

_decoder = msgspec.json.Decoder(Request)

ClientLink = Link[Request]


class _Server:
    def __init__(self, network: Network) -> None:
        self._network = network
        self._links: set[ClientLink] = set()
        self._listening: set[ClientLink] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = inf

    def link(self) -> ClientLink:
        """Answer one end of a new connection."""
        link = Link(_decoder, self._heard)
        self._links.add(link)
        return link

    def close(self) -> None:
        """Cut all links and let nothing happen any more."""
        for link in self._links:
            link.cut()
        if self._timer:
            self._timer.cancel()

    def _heard(self, link: ClientLink, questions: list[Request]) -> None:
        for asked in questions:
            if not self._hear(link, asked):
                break
        self._turn()

    def _hear(self, link: ClientLink, asked: Request) -> bool:
        """Carry a question out and answer it; say whether the link stands still."""
        faults = self._network.faults
        if faults.silent and not isinstance(asked.what, Disturb):
            return True
        if isinstance(asked.what, Place):
            if faults.cut_before:
                self._network.faults = replace(faults, cut_before=faults.cut_before - 1)
                link.cut()
                return False
            if faults.cut_after:
                self._network.faults = replace(faults, cut_after=faults.cut_after - 1)
                self._network.place(asked.what.call)
                link.cut()
                return False
        link.say(Response(asked.n, self._answer(link, asked.what)))
        if isinstance(asked.what, Restart):
            self._cut_all()
            return False
        return True

    def _answer(self, link: ClientLink, question: RequestBody) -> ResponseBody:
        match question:
            case Place(call):
                return PlaceResponse(self._network.place(call))
            case Find(call_ids):
                return FindResponse([known_of(found) for found in self._network.find(call_ids)])
            case HangUp(call_id):
                self._network.hang_up(call_id)
            case Hello(events):
                (self._listening.add if events else self._listening.discard)(link)
                return Welcome(self._network.started)
            case Count():
                return CountResponse(self._network.counts())
            case Disturb(faults):
                self._network.faults = faults
            case Restart(keep_ledger):
                self._network.restart(keep_ledger=keep_ledger)
        return Done()

    def _cut_all(self) -> None:
        for link in self._links:
            link.cut(after_saying=True)

    def _turn(self) -> None:
        """Tell what happened, and be back when more is due."""
        self._drop_lost()
        events = self._network.take_events()
        if events and self._listening:
            told = Events([call_event_of(event) for event in events])
            for link in self._listening:
                link.say(told)
        self._wind_up()

    def _drop_lost(self) -> None:
        if lost := {link for link in self._links if link.lost.is_set()}:
            self._links -= lost
            self._listening -= lost

    def _wind_up(self) -> None:
        due = self._network.next_due
        if due is None or due >= self._timer_due:
            return
        if self._timer:
            self._timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().call_later(self._network.seconds_until(due), self._ring)

    def _ring(self) -> None:
        self._timer_due = inf
        self._turn()


@asynccontextmanager
async def serving(network: Network, listener: socket.socket) -> AsyncGenerator[None]:
    """Lend the network to whoever connects to the listening socket, which is closed in the end.

    Its state lasts as long as the network, whatever becomes of the links.
    """
    door = _Server(network)
    loop = asyncio.get_running_loop()
    make = loop.create_unix_server if listener.family is socket.AF_UNIX else loop.create_server
    server = await make(door.link, sock=listener)
    try:
        yield
    finally:
        server.close()
        door.close()
        await server.wait_closed()
