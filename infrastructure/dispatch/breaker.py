"""The circuit breaker of a gateway: stops dialling while its trunks carry nothing, and probes them (docs/adr/0011-pacing.md)."""

import time
from collections.abc import Callable

from application.ports.call_gateway import CallOver, CallProgressed, Progress
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.dispatch import metrics

CONGESTIONS_TO_OPEN = 5
FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 600.0

_DOUBLINGS_MAX = 10  # more than the longest pause needs
_NO_EVIDENCE = {Outcome.LOST, Outcome.CANCELLED}  # no statement about the trunks: the call did not end by itself


class CircuitBreaker:
    """A breaker that is closed while calls get through. Otherwise it pauses, then lets one call try: the probe.

    It opens after ``CONGESTIONS_TO_OPEN`` congestions in a row on the same leg: where A is an extension, A rings however
    dead the trunk to B is. A call that rings, or ends in any other way, proves that its leg works, and on B that A's leg
    works too. A probe that proves the leg closes the breaker; one that meets congestion doubles the pause; after one that
    ends otherwise on A the next call becomes the probe.
    """

    def __init__(
        self, paused_s: float | None = None, pauses: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Resume another breaker's state: closed, or ``paused_s`` seconds before the probe, after ``pauses`` in a row."""
        self._clock = clock
        self.paused_until = None if paused_s is None else clock() + paused_s
        self._leg = Leg.A
        self._probe: str | None = None
        self._started: str | None = None
        self._lost_at = clock()
        self._congested: dict[Leg, set[str]] = {leg: set() for leg in Leg}
        self.pauses = pauses

    @property
    def is_closed(self) -> bool:
        """Return whether any call may start."""
        return self.paused_until is None

    @property
    def paused_s(self) -> float | None:
        """Seconds of the pause that remain, 0 or less when a probe may start; None while the breaker is closed."""
        return None if self.paused_until is None else self.paused_until - self._clock()

    @property
    def wants_probe(self) -> bool:
        """Return whether a single call may start now."""
        return self._probe is None and self.paused_until is not None and self._clock() >= self.paused_until

    def admits(self, call_id: str) -> bool:
        """Return whether the call may be dialled now; when a probe is due, the call becomes the probe."""
        if self.wants_probe:
            self._probe = call_id
        return self.is_closed or self._probe == call_id

    def link_down(self) -> None:
        """Note that the link was lost now."""
        self._lost_at = self._clock()

    def link_up(self, started: str) -> None:
        """Pause from the loss of the link on if the switch was restarted, for its trunks must register first.

        If the switch kept running, the next call is a probe once a pause is over that began before. The first link of a
        term has no predecessor to compare with, and changes nothing.
        """
        before, self._started = self._started, started
        if before == started:
            self.paused_until = self._lost_at if self.paused_until is None else self.paused_until
            self._probe = None
        elif before is not None:
            self._pause(self._lost_at)

    def observe(self, event: CallProgressed | CallOver) -> bool:
        """Evaluate an event of the switch as it arrives; return whether it changed which calls may start."""
        before = (self.paused_until, self._probe)
        self._evaluate(event)
        return before != (self.paused_until, self._probe)

    def observe_found(self, event: CallProgressed | CallOver) -> bool:
        """Evaluate what a query of the switch found, late and in no order: only the probe's result counts."""
        return event.call_id == self._probe and self.observe(event)

    def _evaluate(self, event: CallProgressed | CallOver) -> None:
        if isinstance(event, CallProgressed):
            self._leg_works(event.call_id, Leg.A if event.progress is Progress.RINGING_A else Leg.B)
        elif event.end.outcome is Outcome.CONGESTION:
            self._leg_is_congested(event.call_id, event.end)
        else:
            if event.end.outcome not in _NO_EVIDENCE:
                self._leg_works(event.call_id, event.end.leg or Leg.B)
            if event.call_id == self._probe:
                self._probe = None

    def _leg_works(self, call_id: str, leg: Leg) -> None:
        self._congested[Leg.A].clear()
        if leg is Leg.B:
            self._congested[Leg.B].clear()
        if call_id == self._probe and (leg is Leg.B or self._leg is Leg.A):
            self.paused_until, self._probe, self._leg, self.pauses = None, None, Leg.A, 0

    def _leg_is_congested(self, call_id: str, end: CallEnd) -> None:
        leg = end.leg or Leg.A
        if leg is Leg.B:
            self._leg_works(call_id, Leg.A)
        congested = self._congested[leg]
        congested.add(call_id)
        if call_id == self._probe or (self.is_closed and len(congested) >= CONGESTIONS_TO_OPEN):
            self._leg = leg
            self._pause(self._clock())

    def _pause(self, begins: float) -> None:
        metrics.PAUSES.inc()
        self.paused_until = begins + min(FIRST_PAUSE_S * 2.0 ** min(self.pauses, _DOUBLINGS_MAX), LONGEST_PAUSE_S)
        self.pauses += 1
        self._probe = None
        for congested in self._congested.values():
            congested.clear()
