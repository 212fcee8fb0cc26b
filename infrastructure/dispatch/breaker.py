"""A circuit breaker of calls: stops dialling while nothing gets through, and probes (docs/adr/0017-breakers.md)."""

import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from application.ports.call_gateway import CallOver, CallProgressed, Progress
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.dispatch import metrics

FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 600.0
EVIDENCE_S = 300.0
"""Congestions longer ago than this say nothing about the present."""

NO_EVIDENCE = {Outcome.LOST, Outcome.CANCELLED, Outcome.NOT_DIALLED}
"""Outcomes of calls that did not end by themselves: no statement about the trunks."""

_DOUBLINGS_MAX = 10  # more than the longest pause needs


class Congestion(NamedTuple):
    """A congestion of an organisation's call: ``line`` is the key of the number that was dialled, ``at`` in seconds."""

    organization_id: int
    line: int
    at: float


Agreement = Callable[[Collection[Congestion]], bool]


class CircuitBreaker:
    """A breaker that is closed while calls get through. Otherwise it pauses, then lets one call try: the probe.

    It opens when congestions in a row on the same leg agree: where A is an extension, A rings however dead the trunk to B
    is. A call that rings, or ends in any other way, proves that its leg works, and on B that A's leg works too. A probe
    that proves the leg closes the breaker; one that meets congestion doubles the pause; after one that ends otherwise on A
    the next call becomes the probe. In a breaker that organisations share, a probe of the same organisation as the last one
    proves no more, and does not lengthen the pause.
    """

    def __init__(
        self,
        agrees: Agreement,
        paused_s: float | None = None,
        pauses: int = 0,
        clock: Callable[[], float] = time.monotonic,
        *,
        is_shared: bool = False,
    ) -> None:
        """Resume another breaker's state: closed, or ``paused_s`` seconds before the probe, after ``pauses`` in a row."""
        self._agrees = agrees
        self._is_shared = is_shared
        self._clock = clock
        self.paused_until = None if paused_s is None else clock() + paused_s
        self._leg = Leg.A
        self._probe: str | None = None
        self._started: str | None = None
        self._lost_at = clock()
        self._congested: dict[Leg, dict[str, Congestion]] = {leg: {} for leg in Leg}
        self.pauses = pauses
        self.probed: int | None = None
        """The organisation of the last probe that met congestion, during a pause."""

    @property
    def is_closed(self) -> bool:
        """Return whether any call may start."""
        return self.paused_until is None

    @property
    def is_idle(self) -> bool:
        """Return whether the breaker is as a new one."""
        return self.is_closed and not any(self._congested.values())

    @property
    def paused_s(self) -> float | None:
        """Seconds of the pause that remain, 0 or less when a probe may start; None while the breaker is closed."""
        return None if self.paused_until is None else self.paused_until - self._clock()

    @property
    def is_paused(self) -> bool:
        """Return whether not even a probe may start."""
        return self.paused_until is not None and self._clock() < self.paused_until

    @property
    def wants_probe(self) -> bool:
        """Return whether a single call may start now."""
        return self._probe is None and not self.is_closed and not self.is_paused

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

    def observe(self, event: CallProgressed | CallOver, congestion: Congestion | None = None) -> bool:
        """Evaluate an event of the switch as it arrives; return whether it changed which calls may start.

        ``congestion`` is evidence where the event is one; without it, only a probe's congestion counts.
        """
        before = (self.paused_until, self._probe)
        self._evaluate(event, congestion)
        return before != (self.paused_until, self._probe)

    def observe_found(self, event: CallProgressed | CallOver, congestion: Congestion | None = None) -> bool:
        """Evaluate what a query of the switch found, late and in no order: only the probe's result counts."""
        return event.call_id == self._probe and self.observe(event, congestion)

    def _evaluate(self, event: CallProgressed | CallOver, congestion: Congestion | None) -> None:
        if isinstance(event, CallProgressed):
            self._leg_works(event.call_id, Leg.A if event.progress is Progress.RINGING_A else Leg.B)
        elif event.end.outcome is Outcome.CONGESTION:
            self._leg_is_congested(event.call_id, event.end, congestion)
        else:
            if event.end.outcome not in NO_EVIDENCE:
                self._leg_works(event.call_id, event.end.leg or Leg.B)
            if event.call_id == self._probe:
                self._probe = None

    def _leg_works(self, call_id: str, leg: Leg) -> None:
        self._congested[Leg.A].clear()
        if leg is Leg.B:
            self._congested[Leg.B].clear()
        if call_id == self._probe and (leg is Leg.B or self._leg is Leg.A):
            self.paused_until, self._probe, self._leg, self.pauses, self.probed = None, None, Leg.A, 0, None

    def _leg_is_congested(self, call_id: str, end: CallEnd, congestion: Congestion | None) -> None:
        leg = end.leg or Leg.A
        if leg is Leg.B:
            self._leg_works(call_id, Leg.A)
        now, congested = self._clock(), self._congested[leg]
        if congestion:
            congested[call_id] = congestion
        if call_id == self._probe:
            self._leg = leg
            self._probe_failed(congestion, now)
        elif self.is_closed:
            recent = {one: found for one, found in congested.items() if found.at > now - EVIDENCE_S}
            self._congested[leg] = recent
            if self._agrees(recent.values()):
                self._leg = leg
                self._pause(now)

    def _probe_failed(self, congestion: Congestion | None, now: float) -> None:
        owner = congestion.organization_id if congestion else None
        if self._is_shared and owner is not None and owner == self.probed:
            self.pauses -= 1
        self._pause(now)
        self.probed = owner

    def _pause(self, begins: float) -> None:
        metrics.PAUSES.inc()
        self.paused_until = begins + min(FIRST_PAUSE_S * 2.0 ** min(self.pauses, _DOUBLINGS_MAX), LONGEST_PAUSE_S)
        self.pauses += 1
        self._probe = None
        for congested in self._congested.values():
            congested.clear()
