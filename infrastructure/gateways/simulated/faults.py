"""What can be made to go wrong in the simulated network."""

from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Times = Annotated[int, Meta(ge=0)]


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong from now on; nothing, unless it is named.

    ``lose``, ``double``, ``delay`` and ``reorder`` are shares of the events that are told: not at all, twice, ``delay_s``
    seconds late, after the next one. ``cut_before`` and ``cut_after`` are for how many wishes to place a call the link is
    cut: before it is heard, or once it is carried out and before it is answered. ``refuse``: no call is placed.
    ``silent``: nothing is heard, and nothing answered, but a change of faults.
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
    """What becomes of an event: how many times it is told, how many seconds late, and whether after the next one."""

    times: int = 1
    late_s: float = 0.0
    after_next: bool = False


_NONE = Fate()


class Fates:
    """Draws what becomes of events, by a seed."""

    def __init__(self, seed: int) -> None:
        """The same seed brings the same fates."""
        self._chance = Random(seed)  # noqa: S311 - faults that can be repeated, no cryptography

    def draw(self, faults: Faults) -> Fate:
        """Answer the fate of the next event."""
        if not (faults.lose or faults.double or faults.delay or faults.reorder):
            return _NONE
        happens = [
            self._chance.random() < share for share in (faults.lose, faults.double, faults.delay, faults.reorder)
        ]
        lost, doubled, late, after_next = happens
        return Fate(0 if lost else 1 + doubled, faults.delay_s if late else 0.0, after_next)
