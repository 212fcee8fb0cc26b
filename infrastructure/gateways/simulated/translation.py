"""Between the words of the port and those of the wire."""

from datetime import UTC, datetime

from application.ports.call_gateway import Absent, CallOver, CallProgressed, CallState, Ended, Live
from infrastructure.gateways.simulated.event_stream import Event
from infrastructure.gateways.simulated.protocol import CallEvent, KnownCall


def known_of(found: CallState) -> KnownCall:
    """Answer what goes over the wire."""
    match found:
        case Live(progress):
            return KnownCall(progress=progress)
        case Ended(end, at):
            return KnownCall(end=end, at=at.timestamp())
        case Absent():
            return KnownCall()


def found_of(known: KnownCall) -> CallState:
    """Answer what came over the wire."""
    if known.progress is not None:
        return Live(known.progress)
    if known.end is not None and known.at is not None:
        return Ended(known.end, datetime.fromtimestamp(known.at, UTC))
    return Absent()


def call_event_of(event: Event) -> CallEvent:
    """Answer what goes over the wire."""
    match event:
        case CallProgressed(call_id, progress):
            return CallEvent(call_id, progress)
        case CallOver(call_id, end):
            return CallEvent(call_id, None, end)


def event_of(news: CallEvent) -> Event | None:
    """Answer what came over the wire; None tells nothing."""
    if news.progress is not None:
        return CallProgressed(news.call_id, news.progress)
    return CallOver(news.call_id, news.end) if news.end is not None else None
