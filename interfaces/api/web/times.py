"""Times of requests: RFC 3339, converted to UTC. A time without a zone is UTC (``docs/contracts/tasks.md``, Fields)."""

from datetime import UTC, datetime

import msgspec

from interfaces.api.web.request_errors import FieldError, InvalidRequest, Loc, to_field_error

_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


def is_representable(time: datetime) -> bool:
    """Return whether every time zone can represent the time: some cannot at the first and last day of the calendar."""
    return _EARLIEST <= (time if time.tzinfo else time.replace(tzinfo=UTC)) < _LATEST


def unrepresentable(loc: Loc) -> FieldError:
    """Return the field error of a time that is not representable."""
    return FieldError(loc, "Expected a time from 0001-01-02 to 9999-12-30 UTC", "datetime_parsing")


def to_utc(source: str = "body", /, **times: datetime | None) -> list[datetime | None]:
    """Return the times in UTC, in their order. Raises InvalidRequest on those that are not representable.

    ``source`` is the part of the request that contains them.
    """
    field_errors = [
        unrepresentable((source, name)) for name, time in times.items() if time and not is_representable(time)
    ]
    if field_errors:
        raise InvalidRequest(field_errors)
    return [time and (time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)) for time in times.values()]


def parse_query_times(**texts: str | None) -> list[datetime | None]:
    """Return the times of query parameters in UTC, in their order. Raises InvalidRequest."""
    times: dict[str, datetime | None] = {}
    field_errors: list[FieldError] = []
    for name, text in texts.items():
        try:
            times[name] = msgspec.convert(text, datetime | None, strict=True)
        except msgspec.ValidationError as error:
            field_errors.append(to_field_error(("query", name), str(error)))
    if field_errors:
        raise InvalidRequest(field_errors)
    return to_utc("query", **times)
