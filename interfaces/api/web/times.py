"""Times of requests: RFC 3339, in UTC from here on; one without a zone is UTC already (contract 1, Fields)."""

from datetime import UTC, datetime

import msgspec

from interfaces.api.web.request_errors import FieldError, InvalidRequest, Loc, to_field_error

_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


def is_representable(time: datetime) -> bool:
    """Whether every time zone can tell the time: at the very edges of the calendar some cannot."""
    return _EARLIEST <= (time if time.tzinfo else time.replace(tzinfo=UTC)) < _LATEST


def unrepresentable(loc: Loc) -> FieldError:
    """Answer the fault of a time that is not tellable."""
    return FieldError(loc, "Expected a time from 0001-01-02 to 9999-12-30 UTC", "datetime_parsing")


def to_utc(source: str = "body", /, **times: datetime | None) -> list[datetime | None]:
    """Answer the times in UTC, in their order. Raises RequestInvalid on those that are not tellable.

    ``source`` is the part of the request where they stand.
    """
    faults = [unrepresentable((source, name)) for name, time in times.items() if time and not is_representable(time)]
    if faults:
        raise InvalidRequest(faults)
    return [time and (time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)) for time in times.values()]


def parse_query_times(**texts: str | None) -> list[datetime | None]:
    """Answer the times that query parameters name, in their order. Raises RequestInvalid."""
    times: dict[str, datetime | None] = {}
    faults: list[FieldError] = []
    for name, text in texts.items():
        try:
            times[name] = msgspec.convert(text, datetime | None, strict=True)
        except msgspec.ValidationError as error:
            faults.append(to_field_error(("query", name), str(error)))
    if faults:
        raise InvalidRequest(faults)
    return to_utc("query", **times)
