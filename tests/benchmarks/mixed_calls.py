"""Callbacks of all kinds through a real Asterisk: whom to call, and whether each came to the right end."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random

import msgspec

from application.new_callbacks import NewCallback
from domain.callback.events import AttemptSucceeded, CallbackFinished, CallbackScheduled
from tests.asterisk.phones import Phones
from tests.chaos.verdict import read_streams


class Way(msgspec.Struct, frozen=True):
    """How the phones of A and B behave (tests/asterisk/scenario.py), how many callbacks meet such, how they finish."""

    a: str
    b: str
    percent: int
    comment: str


WAYS = (
    Way("10", "11", 56, "ANSWER b"),
    Way("10", "20", 8, "BUSY b busy"),
    Way("20", "11", 6, "BUSY a busy"),
    Way("10", "31", 5, "NOANSWER b no_answer"),
    Way("31", "11", 4, "NOANSWER a no_answer"),
    Way("10", "32", 2, "NOANSWER b no_answer"),
    Way("10", "30", 1, "NOANSWER b no_answer"),  # until we give up
    Way("10", "40", 3, "CHANUNAVAIL b rejected"),
    Way("40", "11", 2, "CHANUNAVAIL a rejected"),
    Way("10", "41", 1, "CHANUNAVAIL b rejected"),
    Way("10", "42", 1, "CHANUNAVAIL b rejected"),
    Way("10", "50", 2, "CHANUNAVAIL b invalid_number"),
    Way("50", "11", 2, "CHANUNAVAIL a invalid_number"),
    Way("10", "51", 1, "CHANUNAVAIL b invalid_number"),
    Way("10", "52", 1, "CHANUNAVAIL b invalid_number"),
    Way("10", "60", 1, "CONGESTION b congestion"),
    Way("60", "11", 1, "CONGESTION a congestion"),
    Way("10", "61", 1, "CONGESTION b congestion"),
    Way("10", "62", 1, "CONGESTION b congestion"),
    Way("70", "30", 1, "CANCEL a abandoned"),
)


class Finished(msgspec.Struct, frozen=True):
    """How a callback finished, and when A and B were joined on record."""

    comment: str
    joined_at: datetime | None


class Wanted(msgspec.Struct, frozen=True):
    """A callback, and the beginning of the comment with which it has to finish."""

    due: datetime
    a: str
    b: str
    comment: str

    @property
    def callback(self) -> NewCallback:
        """What is scheduled for it, with one try."""
        return NewCallback(a_number=self.a, b_number=self.b, start_time=self.due)


def people(
    begin: datetime, number: int, rate: float, ways: Sequence[Way] = WAYS, *, together: bool = False
) -> list[Wanted]:
    """Answer so many callbacks, each due when its turn is, or all ``together``: the same ones in each run."""
    dealt = [way for way in ways for _ in range(way.percent)]
    chosen = Random(number).choices(dealt, k=number)
    return [
        Wanted(
            begin if together else begin + timedelta(seconds=turn / rate),
            f"+77{way.a}{turn:07}",
            f"+77{way.b}{turn:07}",
            way.comment,
        )
        for turn, way in enumerate(chosen)
    ]


def outcomes_of(dsn: str) -> dict[str, Finished]:
    """Answer by A's number how each callback finished, and when A and B were joined."""
    outcomes: dict[str, Finished] = {}
    for history in read_streams(dsn, "callback/").values():
        scheduled = history[0].fact
        assert isinstance(scheduled, CallbackScheduled)
        finished = next((event.fact for event in history if isinstance(event.fact, CallbackFinished)), None)
        joined_at = next((event.recorded_at for event in history if isinstance(event.fact, AttemptSucceeded)), None)
        outcomes[scheduled.personal.a_number] = Finished(finished.comment if finished else "", joined_at)
    return outcomes


def rung_of(phones: Phones) -> dict[str, list[float]]:
    """Answer when each number was called, in seconds of the epoch."""
    rung: dict[str, list[float]] = {}
    for invite in phones.invites():
        rung.setdefault(invite.number, []).append(invite.at)
    return rung


def faults(
    wanted: Sequence[Wanted], outcomes: Mapping[str, Finished], rung: Mapping[str, Sequence[float]]
) -> list[str]:
    """Tell which callbacks finished otherwise than their phones behave, or were not dialled exactly once."""
    return [
        f"{one.a} to {one.b}: {outcomes[one.a].comment}, dialled {len(rung.get(one.a, ()))} times; to be {one.comment}"
        for one in wanted
        if not outcomes[one.a].comment.startswith(one.comment) or len(rung.get(one.a, ())) != 1
    ]
