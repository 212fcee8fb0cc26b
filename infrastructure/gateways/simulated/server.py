"""Server of the simulated phone network: a process of its own behind a socket, dialled as a switch would be."""

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
        self._subscribed: set[ClientLink] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = inf

    def link(self) -> ClientLink:
        """Return the server's end of a new connection."""
        link = Link(_decoder, self._handle_requests)
        self._links.add(link)
        return link

    def close(self) -> None:
        """Cut all links and stop the timer."""
        for link in self._links:
            link.cut()
        if self._timer:
            self._timer.cancel()

    def _handle_requests(self, link: ClientLink, requests: list[Request]) -> None:
        for request in requests:
            if not self._handle(link, request):
                break
        self._advance()

    def _handle(self, link: ClientLink, request: Request) -> bool:
        """Carry out a request and respond; return whether the link is still open."""
        faults = self._network.faults
        if faults.silent and not isinstance(request.what, Disturb):
            return True
        if isinstance(request.what, Place):
            if faults.cut_before:
                self._network.faults = replace(faults, cut_before=faults.cut_before - 1)
                link.cut()
                return False
            if faults.cut_after:
                self._network.faults = replace(faults, cut_after=faults.cut_after - 1)
                self._network.place(request.what.call)
                link.cut()
                return False
        link.send(Response(request.n, self._respond(link, request.what)))
        if isinstance(request.what, Restart):
            self._cut_all()
            return False
        return True

    def _respond(self, link: ClientLink, body: RequestBody) -> ResponseBody:
        match body:
            case Place(call):
                return PlaceResponse(self._network.place(call))
            case Find(call_ids):
                return FindResponse([known_of(found) for found in self._network.find(call_ids)])
            case HangUp(call_id):
                self._network.hang_up(call_id)
            case Hello(events):
                (self._subscribed.add if events else self._subscribed.discard)(link)
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
            link.cut(after_flush=True)

    def _advance(self) -> None:
        """Send the events that happened, and set the timer to the next action."""
        self._drop_lost()
        events = self._network.drain_events()
        if events and self._subscribed:
            message = Events([call_event_of(event) for event in events])
            for link in self._subscribed:
                link.send(message)
        self._set_timer()

    def _drop_lost(self) -> None:
        if lost := {link for link in self._links if link.lost.is_set()}:
            self._links -= lost
            self._subscribed -= lost

    def _set_timer(self) -> None:
        due = self._network.next_due
        if due is None or due >= self._timer_due:
            return
        if self._timer:
            self._timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().call_later(self._network.seconds_until(due), self._on_timer)

    def _on_timer(self) -> None:
        self._timer_due = inf
        self._advance()


@asynccontextmanager
async def serving(network: Network, listener: socket.socket) -> AsyncGenerator[None]:
    """Serve the network to all clients that connect to the listening socket, which is closed at the end.

    The network keeps its state when links are lost.
    """
    clients = _Server(network)
    loop = asyncio.get_running_loop()
    make = loop.create_unix_server if listener.family is socket.AF_UNIX else loop.create_server
    server = await make(clients.link, sock=listener)
    try:
        yield
    finally:
        server.close()
        clients.close()
        await server.wait_closed()
