"""What is said between the simulated network and its clients: one JSON object a line, both ways.

A client asks, as often as it likes before the first answer: ``{"n":1,"what":{"type":"place","call":{…}}}``; it is
answered under its number: ``{"type":"answered","n":1,"what":{"type":"placed","placed":"accepted"}}``. Who said ``hello``
with ``events`` is told what happens besides: ``{"type":"told","events":[["<call id>","joined",null],…]}``.
"""

from collections.abc import Sequence

import msgspec

from application.ports.call_gateway import Call, PlaceResult, Progress
from domain.callback.events import CallEnd
from infrastructure.gateways.simulated.faults import Faults
from infrastructure.gateways.simulated.network import Counts


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Ask for the start stamp, and for all events from now on, or none."""

    events: bool = False


class Place(msgspec.Struct, frozen=True, tag="place"):
    """Ask for a call."""

    call: Call


class HangUp(msgspec.Struct, frozen=True, tag="hang_up"):
    """Ask for the end of a call."""

    call_id: str


class Find(msgspec.Struct, frozen=True, tag="find"):
    """Ask what is known of calls."""

    call_ids: Sequence[str]


class Count(msgspec.Struct, frozen=True, tag="count"):
    """Ask for the counts."""


class Disturb(msgspec.Struct, frozen=True, tag="disturb"):
    """Set what goes wrong from now on."""

    faults: Faults


class Restart(msgspec.Struct, frozen=True, tag="restart"):
    """Ask the network to fall over and come back; all links are cut, this one once it is answered."""

    keep_ledger: bool = True


class Request(msgspec.Struct, frozen=True):
    """A question under its number, which the client draws."""

    n: int
    what: "RequestBody"


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """Answers Hello."""

    started: str


class PlaceResponse(msgspec.Struct, frozen=True, tag="placed"):
    """Answers Place."""

    placed: PlaceResult


class KnownCall(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a call: it runs, it ended (at a time in seconds since 1970), or neither."""

    progress: Progress | None = None
    end: CallEnd | None = None
    at: float | None = None


class FindResponse(msgspec.Struct, frozen=True, tag="found"):
    """Answers Find, in its order."""

    known: Sequence[KnownCall]


class CountResponse(msgspec.Struct, frozen=True, tag="counted"):
    """Answers Count."""

    counts: Counts


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Answers what has no other answer."""


class Response(msgspec.Struct, frozen=True, tag="answered"):
    """The answer to the question of that number."""

    n: int
    what: "ResponseBody"


class CallEvent(msgspec.Struct, frozen=True, array_like=True):
    """A call came further, or ended."""

    call_id: str
    progress: Progress | None = None
    end: CallEnd | None = None


class Events(msgspec.Struct, frozen=True, tag="told"):
    """What happened, in order."""

    events: Sequence[CallEvent]


RequestBody = Hello | Place | HangUp | Find | Count | Disturb | Restart
ResponseBody = Welcome | PlaceResponse | FindResponse | CountResponse | Done
ServerMessage = Response | Events
