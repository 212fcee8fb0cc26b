"""Times of ``docs/contracts/task_scheduler.md``: UTC as ``YYYY-MM-DD HH:MM:SS``, or a number of seconds from now."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from domain.errors import InvalidField
from domain.limits import START_AHEAD_MAX_S
from interfaces.api.web.times import parse_time

_FIELD = "start_time_utc"
_LENGTH = len("YYYY-MM-DD HH:MM:SS")


@lru_cache(maxsize=1024)
def format_utc(time: datetime) -> str:
    """Return the time in UTC as ``YYYY-MM-DD HH:MM:SS``, without fractions of a second."""
    return time.astimezone(UTC).isoformat(" ", "seconds")[:_LENGTH]


def parse_start_time(given: str | int | None, now: datetime) -> datetime:
    """Return when a callback is due: at a time in UTC, after a number of seconds from ``now``, or ``now`` if None is given.

    A past time is accepted: the callback is due at once. Raises InvalidField for a date or time that does not exist, and
    for a time more than 365 days ahead.
    """
    if given is None:
        return now
    if isinstance(given, int) or given.isdecimal():
        due = now + timedelta(seconds=int(given))
    else:
        try:
            due = parse_time(given)
        except ValueError as error:
            raise InvalidField(_FIELD, f"Not a valid date and time: {given}", "datetime_parsing") from error
    if due > now + timedelta(seconds=START_AHEAD_MAX_S):
        raise InvalidField(_FIELD, "Expected a time at most 365 days ahead", "less_than_equal")
    return due
