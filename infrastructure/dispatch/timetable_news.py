"""Notifications of the timetable: which organisations may have calls to start, and from when on."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

LONG_AGO = datetime.min.replace(tzinfo=UTC)

_ID_MAX = (1 << 63) - 1
_NOTHING = "-"
_PAYLOAD_MAX = 7000  # characters; Postgres refuses 8,000 bytes
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def format_news(times: Mapping[int, datetime]) -> str:
    """Return the payload that says from when on queues of these organisations may start calls; LONG_AGO: any time.

    It is empty where it would be too long: then the reader reads the queues.
    """
    words = (f"{one}@{'' if at == LONG_AGO else (at - _EPOCH) // _MICROSECOND}" for one, at in times.items())
    payload = ",".join(words) or _NOTHING
    return payload if len(payload) <= _PAYLOAD_MAX else ""


def parse_news(payload: str) -> Iterator[tuple[int, datetime]]:
    """Yield what ``format_news`` was given; nothing of an empty payload.

    Raises ValueError for any other text: every login of the database may send notifications.
    """
    for word in payload.split(",") if payload and payload != _NOTHING else ():
        organization_id, separator, at = word.partition("@")
        try:
            one, from_ = int(organization_id), _EPOCH + int(at) * _MICROSECOND if at else LONG_AGO
        except OverflowError as error:
            raise ValueError(f"Not a time: {at}") from error
        if not separator or not 0 < one <= _ID_MAX:
            raise ValueError(f"Not an organisation: {word}")
        yield one, from_
