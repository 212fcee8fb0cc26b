"""Behaviour of the phones of the simulated network, by the thousands digit of their numbers."""

from collections import OrderedDict
from enum import StrEnum
from hashlib import blake2b
from itertools import accumulate

from domain.callback.events import CallEnd, Leg, Outcome

_REMEMBERED_MAX = 100_000
_THOUSANDS = 4


class Behaviour(StrEnum):
    """Behaviour of a phone when it is called. One that leaves answers, and hangs up soon: as A, while B rings."""

    ANSWERS = "answers"
    BUSY = "busy"
    RINGS = "rings"
    REJECTS = "rejects"
    UNKNOWN = "unknown"
    CONGESTED = "congested"
    LEAVES = "leaves"


_BY_DIGIT = {
    "1": Behaviour.ANSWERS,
    "2": Behaviour.BUSY,
    "3": Behaviour.RINGS,
    "4": Behaviour.REJECTS,
    "5": Behaviour.UNKNOWN,
    "6": Behaviour.CONGESTED,
    "7": Behaviour.LEAVES,
}
_SHARES = {
    Behaviour.ANSWERS: 60,
    Behaviour.BUSY: 12,
    Behaviour.RINGS: 15,
    Behaviour.REJECTS: 4,
    Behaviour.UNKNOWN: 3,
    Behaviour.CONGESTED: 3,
    Behaviour.LEAVES: 3,
}
_BOUNDS = [*zip(accumulate(_SHARES.values()), _SHARES, strict=True)]
_ALL = _BOUNDS[-1][0]

_OUTCOMES = {
    Behaviour.BUSY: (Outcome.BUSY, "SIP 486 Busy Here", 17, "BUSY"),
    Behaviour.REJECTS: (Outcome.REJECTED, "SIP 603 Decline", 21, "CHANUNAVAIL"),
    Behaviour.UNKNOWN: (Outcome.INVALID_NUMBER, "SIP 404 Not Found", 1, "CHANUNAVAIL"),
    Behaviour.CONGESTED: (Outcome.CONGESTION, "SIP 503 Service Unavailable", 34, "CONGESTION"),
}
_ENDS = {
    (behaviour, leg): CallEnd(
        outcome=outcome, leg=leg, sip=sip, cause=cause, dial_status=word if leg is Leg.B else None
    )
    for behaviour, (outcome, sip, cause, word) in _OUTCOMES.items()
    for leg in Leg
} | {
    (Behaviour.RINGS, Leg.A): CallEnd(outcome=Outcome.NO_ANSWER, leg=Leg.A, sip="SIP 180 Ringing", cause=19),
    (Behaviour.RINGS, Leg.B): CallEnd(
        outcome=Outcome.NO_ANSWER, leg=Leg.B, sip="SIP 180 Ringing", cause=16, dial_status="NOANSWER"
    ),
}
ABANDONED = CallEnd(outcome=Outcome.ABANDONED, leg=Leg.A, sip="SIP 200 OK", dial_status="CANCEL")


class Phones:
    """The phones of all numbers. The same seed and call id give the same behaviour."""

    def __init__(self, seed: int) -> None:
        """Draw random behaviour from ``seed``."""
        self._seed = seed
        self._dialled: OrderedDict[str, None] = OrderedDict()

    def behaviour(self, call_id: str, leg: Leg, number: str) -> Behaviour:
        """Return the behaviour of the phone for this call.

        With thousands digit 8 a phone is busy at its first call and answers afterwards; 9, 0 and numbers of fewer than
        four digits behave at random.
        """
        digits = number.removeprefix("+")
        digit = digits[-_THOUSANDS] if len(digits) >= _THOUSANDS else ""
        if digit == "8":
            return Behaviour.BUSY if self._is_first(digits) else Behaviour.ANSWERS
        return _BY_DIGIT.get(digit) or self._draw(f"{self._seed}/{call_id}/{leg}")

    def _is_first(self, digits: str) -> bool:
        if digits in self._dialled:
            return False
        self._dialled[digits] = None
        if len(self._dialled) > _REMEMBERED_MAX:
            self._dialled.popitem(last=False)
        return True

    def _draw(self, key: str) -> Behaviour:
        drawn = int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) % _ALL
        return next(behaviour for bound, behaviour in _BOUNDS if drawn < bound)


def end_of(behaviour: Behaviour, leg: Leg) -> CallEnd:
    """Return how a call ends on the leg whose phone does not answer, as a switch reports it (docs/asterisk.md)."""
    return _ENDS[behaviour, leg]
