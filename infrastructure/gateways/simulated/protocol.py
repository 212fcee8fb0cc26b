"""Messages between the simulated network and its clients: one JSON object per line, in both directions.

A client sends any number of requests without waiting: ``{"n":1,"what":{"type":"place","call":{…}}}``. The response has
the request's number: ``{"type":"answered","n":1,"what":{"type":"placed","placed":"accepted"}}``. A client that sent
``hello`` with ``events`` also receives events: ``{"type":"events","events":[["<call id>","joined",null],…]}``.
"""

from collections.abc import Sequence

import msgspec

from application.ports.call_gateway import Call, PlaceResult, Progress
from domain.callback.events import CallEnd
from infrastructure.gateways.simulated.faults import Faults
from infrastructure.gateways.simulated.network import Counts


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Request the start stamp, and to receive all events from now on, or none."""

    events: bool = False


class Place(msgspec.Struct, frozen=True, tag="place"):
    """Request a call."""

    call: Call


class HangUp(msgspec.Struct, frozen=True, tag="hang_up"):
    """Request the end of a call."""

    call_id: str


class Find(msgspec.Struct, frozen=True, tag="find"):
    """Request the state of calls."""

    call_ids: Sequence[str]


class Count(msgspec.Struct, frozen=True, tag="count"):
    """Request the counts."""


class Disturb(msgspec.Struct, frozen=True, tag="disturb"):
    """Set the faults from now on."""

    faults: Faults


class Restart(msgspec.Struct, frozen=True, tag="restart"):
    """Crash and restart the network; all links are cut, this one after the response."""

    keep_ledger: bool = True


class Request(msgspec.Struct, frozen=True):
    """A request under its number, which the client chooses."""

    n: int
    what: "RequestBody"


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """Response to Hello."""

    started: str


class PlaceResponse(msgspec.Struct, frozen=True, tag="placed"):
    """Response to Place."""

    placed: PlaceResult


class KnownCall(msgspec.Struct, frozen=True, array_like=True):
    """State of a call: it is live, it ended (at a time in seconds since 1970), or neither."""

    progress: Progress | None = None
    end: CallEnd | None = None
    at: float | None = None


class FindResponse(msgspec.Struct, frozen=True, tag="found"):
    """Response to Find, in its order."""

    known: Sequence[KnownCall]


class CountResponse(msgspec.Struct, frozen=True, tag="counted"):
    """Response to Count."""

    counts: Counts


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Response to requests without a result."""


class Response(msgspec.Struct, frozen=True, tag="answered"):
    """The response to the request of that number."""

    n: int
    what: "ResponseBody"


class CallEvent(msgspec.Struct, frozen=True, array_like=True):
    """Event of a call: it made progress, or ended."""

    call_id: str
    progress: Progress | None = None
    end: CallEnd | None = None


class Events(msgspec.Struct, frozen=True, tag="events"):
    """Events, in order."""

    events: Sequence[CallEvent]


RequestBody = Hello | Place | HangUp | Find | Count | Disturb | Restart
ResponseBody = Welcome | PlaceResponse | FindResponse | CountResponse | Done
ServerMessage = Response | Events
