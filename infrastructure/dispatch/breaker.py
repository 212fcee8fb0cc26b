"""When a switch is left alone because its trunks carry nothing, and how it is tried again (docs/adr/0011-pacing.md)."""

import time
from collections.abc import Callable

from application.ports.call_gateway import CallOver, Progress, Progressed
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.dispatch import metrics

IN_A_ROW = 5
FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 600.0

_DOUBLINGS = 10  # more than any pause needs
_TELLS_NOTHING = {Outcome.LOST, Outcome.CANCELLED}  # of the trunks: nobody let the call come to its end


class Breaker:
    """Closed while calls get through. Otherwise it pauses, then lets one call try: the probe.

    It opens on so many congestions in a row on the same leg: where A is an extension it rings however dead the trunk to B
    is. What rings, or ends in any other way, proves its leg, and on B that of A too. A probe that proves the leg closes
    it, one that meets congestion doubles the pause, and after one that ends otherwise on A the next call tries.
    """

    def __init__(
        self, paused_s: float | None = None, pauses: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Go on where another left off: closed, or ``paused_s`` seconds before the probe, after so many pauses in a row."""
        self._clock = clock
        self.until = None if paused_s is None else clock() + paused_s
        self._leg = Leg.A
        self._probe: str | None = None
        self._started: str | None = None
        self._lost_at = clock()
        self._congested: dict[Leg, set[str]] = {leg: set() for leg in Leg}
        self.pauses = pauses

    @property
    def is_closed(self) -> bool:
        """Whether any call may start."""
        return self.until is None

    @property
    def paused_s(self) -> float | None:
        """For how many seconds it pauses yet, not more than none when a probe may try; None while it is closed."""
        return None if self.until is None else self.until - self._clock()

    @property
    def wants_probe(self) -> bool:
        """Whether a single call may start now."""
        return self._probe is None and self.until is not None and self._clock() >= self.until

    def admits(self, call_id: str) -> bool:
        """Answer whether the call may be dialled now; where a probe is wanted, it is the one."""
        if self.wants_probe:
            self._probe = call_id
        return self.is_closed or self._probe == call_id

    def link_down(self) -> None:
        """Note when the link was lost."""
        self._lost_at = self._clock()

    def link_up(self, started: str) -> None:
        """Pause from when the link was lost, if the switch was restarted: its trunks register first.

        If it lived on, the next call is a probe, once a pause is over that began before. The first link of a term tells
        nothing.
        """
        before, self._started = self._started, started
        if before == started:
            self.until = self._lost_at if self.until is None else self.until
            self._probe = None
        elif before is not None:
            self._pause(self._lost_at)

    def hear(self, news: Progressed | CallOver) -> bool:
        """Take what the switch tells of a call, as it comes; answer whether it made a difference to who may start."""
        before = (self.until, self._probe)
        self._weigh(news)
        return before != (self.until, self._probe)

    def _weigh(self, news: Progressed | CallOver) -> None:
        if isinstance(news, Progressed):
            self._proved(news.call_id, Leg.A if news.progress is Progress.RINGING_A else Leg.B)
        elif news.end.outcome is Outcome.CONGESTION:
            self._met_congestion(news.call_id, news.end)
        else:
            if news.end.outcome not in _TELLS_NOTHING:
                self._proved(news.call_id, news.end.leg or Leg.B)
            if news.call_id == self._probe:
                self._probe = None

    def found(self, news: Progressed | CallOver) -> bool:
        """Do the same with what was found out by asking, late and in no order: only the probe's fate is news."""
        return news.call_id == self._probe and self.hear(news)

    def _proved(self, call_id: str, leg: Leg) -> None:
        self._congested[Leg.A].clear()
        if leg is Leg.B:
            self._congested[Leg.B].clear()
        if call_id == self._probe and (leg is Leg.B or self._leg is Leg.A):
            self.until, self._probe, self._leg, self.pauses = None, None, Leg.A, 0

    def _met_congestion(self, call_id: str, end: CallEnd) -> None:
        leg = end.leg or Leg.A
        if leg is Leg.B:
            self._proved(call_id, Leg.A)
        congested = self._congested[leg]
        congested.add(call_id)
        if call_id == self._probe or (self.is_closed and len(congested) >= IN_A_ROW):
            self._leg = leg
            self._pause(self._clock())

    def _pause(self, begins: float) -> None:
        metrics.PAUSES.inc()
        self.until = begins + min(FIRST_PAUSE_S * 2.0 ** min(self.pauses, _DOUBLINGS), LONGEST_PAUSE_S)
        self.pauses += 1
        self._probe = None
        for congested in self._congested.values():
            congested.clear()
