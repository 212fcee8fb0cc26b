"""Times of requests: RFC 3339, converted to UTC. A time without a zone is UTC (``docs/contracts/tasks.md``, Fields)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_LEAP_SECOND = re.compile(r"(.{10}[Tt ][0-9]{2}:[0-9]{2}):60(.*)")
_SECOND = timedelta(seconds=1)


class RequestTime:
    """A time of a request; ``utc`` is the time in UTC. ``decode_time`` creates it from the text."""

    __slots__ = ("utc",)

    def __init__(self, utc: datetime) -> None:
        """Keep the time."""
        self.utc = utc


def decode_time(tp: type, value: Any) -> RequestTime:
    """Decode a time for msgspec, which calls this for the types that it does not know. Raises ValueError."""
    if tp is not RequestTime:
        raise NotImplementedError(tp)
    if not isinstance(value, str):
        raise ValueError("Expected a time in RFC 3339 as text, such as 2026-11-27T09:30:00+05:00")  # noqa: TRY004 - msgspec reports only this type as an error of the value
    return RequestTime(parse_time(value))


def encode_time(value: object) -> datetime:
    """Return the time of a RequestTime, for msgspec, which calls this for the types that it does not know."""
    if not isinstance(value, RequestTime):
        raise NotImplementedError(type(value))
    return value.utc


def parse_time(text: str) -> datetime:
    """Return a time in UTC, one without a zone as UTC. The leap second 23:59:60 UTC is the first second of the next day.

    Raises ValueError for a time that does not exist, and for one at the first or last day of the calendar, which some time
    zones cannot represent.
    """
    leap = _LEAP_SECOND.fullmatch(text) if ":60" in text else None
    try:
        time = msgspec.convert(f"{leap[1]}:59{leap[2]}" if leap else text, datetime)
    except msgspec.ValidationError as error:
        raise ValueError(f"Expected a time in RFC 3339 such as 2026-11-27T09:30:00+05:00, not {text[:50]!r}") from error
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if not _EARLIEST <= time < _LATEST:
        raise ValueError("Expected a time from 0001-01-02 to 9999-12-30 UTC")
    time = time.astimezone(UTC)
    if leap and (time.hour, time.minute) != (23, 59):
        raise ValueError("Expected second 60 only at 23:59:60 UTC, where leap seconds are")
    return time + _SECOND if leap else time


def utc_of(time: RequestTime | None) -> datetime | None:
    """Return the time in UTC, None if none is given."""
    return time and time.utc
