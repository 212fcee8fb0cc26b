"""Conversion between the port's types and the protocol's."""

from datetime import UTC, datetime

from application.ports.call_gateway import Absent, CallOver, CallProgressed, CallState, Ended, Live
from infrastructure.gateways.simulated.event_stream import Event
from infrastructure.gateways.simulated.protocol import CallEvent, KnownCall


def known_of(state: CallState) -> KnownCall:
    """Return the state as the protocol has it."""
    match state:
        case Live(progress):
            return KnownCall(progress=progress)
        case Ended(end, at):
            return KnownCall(end=end, at=at.timestamp())
        case Absent():
            return KnownCall()


def state_of(known: KnownCall) -> CallState:
    """Return the state as the port has it."""
    if known.progress is not None:
        return Live(known.progress)
    if known.end is not None and known.at is not None:
        return Ended(known.end, datetime.fromtimestamp(known.at, UTC))
    return Absent()


def call_event_of(event: Event) -> CallEvent:
    """Return the event as the protocol has it."""
    match event:
        case CallProgressed(call_id, progress):
            return CallEvent(call_id, progress)
        case CallOver(call_id, end):
            return CallEvent(call_id, None, end)


def event_of(call_event: CallEvent) -> Event | None:
    """Return the event as the port has it; None for one without content."""
    if call_event.progress is not None:
        return CallProgressed(call_event.call_id, call_event.progress)
    return CallOver(call_event.call_id, call_event.end) if call_event.end is not None else None
