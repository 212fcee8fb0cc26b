"""Callbacks of all kinds through a real Asterisk: the numbers to call, and the check of each result."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random

import msgspec

from application.new_callbacks import NewCallback
from domain.callback.events import AttemptSucceeded, CallbackFinished, CallbackScheduled
from tests.asterisk.phones import Phones
from tests.chaos.verdict import read_streams


class Behaviour(msgspec.Struct, frozen=True):
    """Behaviour of the phones of A and B (tests/asterisk/scenario.py), its share of the callbacks, and the result."""

    a: str
    b: str
    percent: int
    comment: str


BEHAVIOURS = (
    Behaviour("10", "11", 56, "ANSWER b"),
    Behaviour("10", "20", 8, "BUSY b busy"),
    Behaviour("20", "11", 6, "BUSY a busy"),
    Behaviour("10", "31", 5, "NOANSWER b no_answer"),
    Behaviour("31", "11", 4, "NOANSWER a no_answer"),
    Behaviour("10", "32", 2, "NOANSWER b no_answer"),
    Behaviour("10", "30", 1, "NOANSWER b no_answer"),  # until perezvon stops ringing
    Behaviour("10", "40", 3, "CHANUNAVAIL b rejected"),
    Behaviour("40", "11", 2, "CHANUNAVAIL a rejected"),
    Behaviour("10", "41", 1, "CHANUNAVAIL b rejected"),
    Behaviour("10", "42", 1, "CHANUNAVAIL b rejected"),
    Behaviour("10", "50", 2, "CHANUNAVAIL b invalid_number"),
    Behaviour("50", "11", 2, "CHANUNAVAIL a invalid_number"),
    Behaviour("10", "51", 1, "CHANUNAVAIL b invalid_number"),
    Behaviour("10", "52", 1, "CHANUNAVAIL b invalid_number"),
    Behaviour("10", "60", 1, "CONGESTION b congestion"),
    Behaviour("60", "11", 1, "CONGESTION a congestion"),
    Behaviour("10", "61", 1, "CONGESTION b congestion"),
    Behaviour("10", "62", 1, "CONGESTION b congestion"),
    Behaviour("70", "30", 1, "CANCEL a abandoned"),
)


class Result(msgspec.Struct, frozen=True):
    """The comment with which a callback finished, and when the joining of A and B was recorded."""

    comment: str
    joined_at: datetime | None


class ExpectedCallback(msgspec.Struct, frozen=True):
    """A callback, and the beginning of the comment with which it must finish."""

    due: datetime
    a: str
    b: str
    comment: str

    @property
    def callback(self) -> NewCallback:
        """Return the callback to schedule, with one try."""
        return NewCallback(a_number=self.a, b_number=self.b, start_time=self.due)


def expected_callbacks(
    begin: datetime, number: int, rate: float, behaviours: Sequence[Behaviour] = BEHAVIOURS, *, together: bool = False
) -> list[ExpectedCallback]:
    """Return ``number`` callbacks, due at ``rate`` a second, or all ``together``; the same ones in each run."""
    weighted = [behaviour for behaviour in behaviours for _ in range(behaviour.percent)]
    drawn = Random(number).choices(weighted, k=number)
    return [
        ExpectedCallback(
            begin if together else begin + timedelta(seconds=turn / rate),
            f"+77{behaviour.a}{turn:07}",
            f"+77{behaviour.b}{turn:07}",
            behaviour.comment,
        )
        for turn, behaviour in enumerate(drawn)
    ]


def results_of(dsn: str) -> dict[str, Result]:
    """Return the result of each callback by the number of A."""
    results: dict[str, Result] = {}
    for history in read_streams(dsn, "callback/").values():
        scheduled = history[0].fact
        assert isinstance(scheduled, CallbackScheduled)
        finished = next((event.fact for event in history if isinstance(event.fact, CallbackFinished)), None)
        joined_at = next((event.recorded_at for event in history if isinstance(event.fact, AttemptSucceeded)), None)
        results[scheduled.personal.a_number] = Result(finished.comment if finished else "", joined_at)
    return results


def ring_times_of(phones: Phones) -> dict[str, list[float]]:
    """Return the times at which each number was called, in seconds since the epoch."""
    ring_times: dict[str, list[float]] = {}
    for invite in phones.invites():
        ring_times.setdefault(invite.number, []).append(invite.at)
    return ring_times


def mismatches(
    expected: Sequence[ExpectedCallback], results: Mapping[str, Result], ring_times: Mapping[str, Sequence[float]]
) -> list[str]:
    """Describe the callbacks whose result differs from the expected one, or that were not dialled exactly once."""
    return [
        f"{one.a} to {one.b}: {results[one.a].comment}, dialled {len(ring_times.get(one.a, ()))} times; expected: {one.comment}"
        for one in expected
        if not results[one.a].comment.startswith(one.comment) or len(ring_times.get(one.a, ())) != 1
    ]
