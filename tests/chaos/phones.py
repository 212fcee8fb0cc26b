"""Numbers to call, each used once: the number decides how the phone behaves (tests/asterisk)."""

from collections.abc import Iterator, Sequence
from itertools import count, cycle, islice

import msgspec

TRIES = 2
PAUSE_S = 3
"""Pause after a failed attempt, in seconds: longer than the detection of a dead process."""

_LONGEST = 99  # tenths of a second: by then B has hung up


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A callback, and the beginning of the comment with which it has to finish."""

    a: str
    b: str
    comment: str


def timed(ring: int, talk: int, serial: int) -> str:
    """Return the number of a phone that rings, answers, talks and hangs up; both times in tenths of a second."""
    return f"+79{ring:02}{talk:02}{serial:05}"


def busy(serial: int) -> str:
    """Return the number of a phone that is busy."""
    return f"+7720{serial:07}"


def planner() -> Iterator[Planned]:
    """Yield callbacks of which, a second after they were started, some ring A, some ring B, some talk, some have ended."""
    serials = count(1)
    for ring_a, ring_b, talk in cycle([(60, 2, 5), (2, 60, 5), (2, 2, 60), (2, 2, 8), (2, 2, 15), (2, None, 0)]):
        a = timed(ring_a, _LONGEST, next(serials))
        if ring_b is None:
            yield Planned(a=a, b=busy(next(serials)), comment="BUSY b busy")
        else:
            yield Planned(a=a, b=timed(ring_b, talk, next(serials)), comment="ANSWER b")


def several(people: Iterator[Planned], number: int) -> Sequence[Planned]:
    """Return the next numbers."""
    return [*islice(people, number)]
