"""Faults of the simulated network."""

from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Times = Annotated[int, Meta(ge=0)]


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Faults from now on; none by default.

    ``lose``, ``double``, ``delay`` and ``reorder`` are the shares of events that are lost, sent twice, ``delay_s`` seconds
    late, or after the next one. ``cut_before`` and ``cut_after`` are the numbers of requests to place a call at which the
    link is cut: before the request is received, or after it is carried out and before the response. ``refuse``: every call
    is refused. ``silent``: no request is received and no response sent, except a change of faults.
    """

    lose: Share = 0.0
    double: Share = 0.0
    delay: Share = 0.0
    delay_s: Annotated[float, Meta(ge=0)] = 1.0
    reorder: Share = 0.0
    cut_before: Times = 0
    cut_after: Times = 0
    refuse: bool = False
    silent: bool = False


class Fate(msgspec.Struct, frozen=True):
    """Fate of an event: how many times it is sent, how many seconds late, and whether after the next one."""

    times: int = 1
    late_s: float = 0.0
    after_next: bool = False


_NONE = Fate()


class Fates:
    """Draws the fates of events, by a seed."""

    def __init__(self, seed: int) -> None:
        """Draw from ``seed``: the same seed gives the same faults."""
        self._chance = Random(seed)  # noqa: S311 - reproducible faults, no cryptography

    def draw(self, faults: Faults) -> Fate:
        """Return the fate of the next event."""
        if not (faults.lose or faults.double or faults.delay or faults.reorder):
            return _NONE
        happens = [
            self._chance.random() < share for share in (faults.lose, faults.double, faults.delay, faults.reorder)
        ]
        lost, doubled, late, after_next = happens
        return Fate(0 if lost else 1 + doubled, faults.delay_s if late else 0.0, after_next)
