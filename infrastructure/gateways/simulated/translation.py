"""Between the words of the port and those of the wire."""

from datetime import UTC, datetime

from application.ports.call_gateway import Absent, CallOver, Ended, Found, Live, Progressed
from infrastructure.gateways.simulated.event_stream import Event
from infrastructure.gateways.simulated.protocol import Known, News


def known_of(found: Found) -> Known:
    """Answer what goes over the wire."""
    match found:
        case Live(progress):
            return Known(progress=progress)
        case Ended(end, at):
            return Known(end=end, at=at.timestamp())
        case Absent():
            return Known()


def found_of(known: Known) -> Found:
    """Answer what came over the wire."""
    if known.progress is not None:
        return Live(known.progress)
    if known.end is not None and known.at is not None:
        return Ended(known.end, datetime.fromtimestamp(known.at, UTC))
    return Absent()


def news_of(event: Event) -> News:
    """Answer what goes over the wire."""
    match event:
        case Progressed(call_id, progress):
            return News(call_id, progress)
        case CallOver(call_id, end):
            return News(call_id, None, end)


def event_of(news: News) -> Event | None:
    """Answer what came over the wire; None tells nothing."""
    if news.progress is not None:
        return Progressed(news.call_id, news.progress)
    return CallOver(news.call_id, news.end) if news.end is not None else None
