"""Times of contract 2: UTC, as ``YYYY-MM-DD HH:MM:SS``, or a number of seconds from now."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from domain.errors import InvalidField
from domain.limits import START_AHEAD_MAX_S
from interfaces.api.web.times import is_representable

_FIELD = "start_time_utc"
_LENGTH = len("YYYY-MM-DD HH:MM:SS")


@lru_cache(maxsize=1024)
def format_utc(time: datetime) -> str:
    """Answer the time in UTC as the contract writes it; fractions of a second are left out."""
    return time.astimezone(UTC).isoformat(" ", "seconds")[:_LENGTH]


def parse_start_time(given: str | int | None, now: datetime) -> datetime:
    """Answer when a callback is due: at a time in UTC, so many seconds from ``now``, or ``now``.

    What is past is taken: it is due at once. Raises InvalidField for a day that no calendar has, and more than a year ahead.
    """
    if given is None:
        return now
    if isinstance(given, int) or given.isdecimal():
        due = now + timedelta(seconds=int(given))
    else:
        try:
            due = datetime.fromisoformat(given).replace(tzinfo=UTC)
        except ValueError as error:
            raise InvalidField(_FIELD, "Expected a day and time that there is", "datetime_parsing") from error
        if not is_representable(due):
            raise InvalidField(_FIELD, "Expected a time from 0001-01-02 on", "datetime_parsing")
    if due > now + timedelta(seconds=START_AHEAD_MAX_S):
        raise InvalidField(_FIELD, "Expected a time at most a year (365 days) ahead", "less_than_equal")
    return due
