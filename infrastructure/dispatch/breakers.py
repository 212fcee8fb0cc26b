"""The circuit breakers of a gateway: one of its own, one of each organisation, and one of each number of an organisation.

What only one organisation meets stops only its own calls (docs/adr/0017-breakers.md).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

import msgspec

from application.ports.call_gateway import CallOver, CallProgressed, Progress
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.dispatch.breaker import NO_EVIDENCE, CircuitBreaker, Congestion

CONGESTIONS_TO_OPEN = 5
LINES_OF_ONE_MAX = 3
"""How many congested numbers of one organisation count for the gateway: less than open its breaker."""
PROBE_S = 5.0
"""How long other calls to a number are postponed while its probe is in flight."""
BREAKERS_MAX = 10_000

Event = CallProgressed | CallOver


class DialledCall(NamedTuple):
    """A call whose events are evidence: its organisation, and the keys of the numbers of A and B."""

    organization_id: int
    a_line: int
    b_line: int

    def line(self, leg: Leg) -> int:
        """Return the key of the number of a leg."""
        return self.a_line if leg is Leg.A else self.b_line


class Pause(msgspec.Struct, frozen=True):
    """A pause of an organisation: ``paused_s`` seconds until its probe, after ``pauses`` in a row."""

    paused_s: float
    pauses: int


class Admission(Enum):
    """Verdict on dialling a recorded call: now, after another call's result, or not in this attempt."""

    NOW = "now"
    WAIT = "wait"
    NEVER = "never"


def calls_agree(congestions: Collection[Congestion]) -> bool:
    """Return whether ``CONGESTIONS_TO_OPEN`` calls to a number failed in a row: then it is not dialled for a while."""
    return len(congestions) >= CONGESTIONS_TO_OPEN


def lines_agree(congestions: Collection[Congestion]) -> bool:
    """Return whether calls to ``CONGESTIONS_TO_OPEN`` numbers failed in a row: other calls of the organisation would too."""
    return len({one.line for one in congestions}) >= CONGESTIONS_TO_OPEN


def organizations_agree(congestions: Collection[Congestion]) -> bool:
    """Return whether calls of several organisations to several numbers failed in a row: then the trunks carry nothing."""
    lines: defaultdict[int, set[int]] = defaultdict(set)
    for one in congestions:
        lines[one.organization_id].add(one.line)
    return sum(min(len(some), LINES_OF_ONE_MAX) for some in lines.values()) >= CONGESTIONS_TO_OPEN


class Breakers:
    """All breakers of a gateway. A call may be dialled when each of those that concern it admits it."""

    def __init__(
        self,
        paused_s: float | None = None,
        pauses: int = 0,
        organizations: Mapping[int, Pause] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Resume the last leader's state: of the gateway, and of organisations that are paused."""
        self._clock = clock
        self.gateway = CircuitBreaker(organizations_agree, paused_s, pauses, clock, is_shared=True)
        self._organizations = {
            one: CircuitBreaker(lines_agree, pause.paused_s, pause.pauses, clock)
            for one, pause in (organizations or {}).items()
        }
        self.changes = 0
        """How many events have changed which calls may start."""
        self._lines: dict[int, CircuitBreaker] = {}  # the number that met congestion last is the last
        self._calls: dict[str, DialledCall] = {}

    @property
    def paused_organizations(self) -> dict[int, Pause]:
        """The organisations that may not start calls as they like."""
        return {
            one: Pause(breaker.paused_s, breaker.pauses)
            for one, breaker in self._organizations.items()
            if breaker.paused_s is not None
        }

    @property
    def state(self) -> tuple[float | None, int, tuple[tuple[int, float | None], ...]]:
        """The state to compare with an earlier one: when pauses of the gateway and of organisations end."""
        paused = ((one, breaker.paused_until) for one, breaker in self._organizations.items() if not breaker.is_closed)
        return self.gateway.paused_until, self.gateway.pauses, tuple(sorted(paused))

    def pauses_of(self, organization_id: int | None) -> tuple[tuple[float | None, int], float | None]:
        """Return when the gateway's pause ends, with its number in a row, and when the organisation's pause ends."""
        own = self._organizations.get(organization_id) if organization_id is not None else None
        return (self.gateway.paused_until, self.gateway.pauses), own.paused_until if own else None

    def organization_of(self, call_id: str) -> int | None:
        """Return the organisation of a call that has not ended, None if the call is unknown."""
        call = self._calls.get(call_id)
        return call.organization_id if call else None

    def may_start(self, organization_id: int, in_flight: int) -> bool:
        """Return whether the organisation may start a call, while ``in_flight`` of its calls are not dialled yet."""
        breaker = self._organizations.get(organization_id)
        return breaker is None or breaker.is_closed or (breaker.wants_probe and not in_flight)

    def hold_s(self, a_line: int | None, b_line: int | None) -> float:
        """Return for how many seconds calls to these numbers must wait; 0: a call may start."""
        if not self._lines:
            return 0.0
        holds = [self._hold_of(breaker) for line in (a_line, b_line) if line and (breaker := self._lines.get(line))]
        return max(holds, default=0.0)

    def is_probe_of_line(self, a_line: int | None, b_line: int | None) -> bool:
        """Return whether a call to these numbers would be a probe of one of them: then only one may start."""
        lines = (a_line, b_line) if self._lines else ()
        return any(line and (breaker := self._lines.get(line)) and breaker.wants_probe for line in lines)

    def started(self, call_id: str, call: DialledCall) -> None:
        """Note a call that is to be dialled; where a probe is due, it is the probe."""
        self._calls[call_id] = call
        for _, breaker in self._own(call):
            if breaker.wants_probe:
                breaker.admits(call_id)

    def admission(self, call_id: str) -> Admission:
        """Return whether the call may be dialled now."""
        call = self._calls.get(call_id)
        own = self._own(call) if call else ()
        if self.gateway.is_paused or not all(breaker.admits(call_id) for _, breaker in own):
            return Admission.NEVER
        return Admission.NOW if self.gateway.admits(call_id) else Admission.WAIT

    def observe(self, event: Event, *, is_found: bool = False) -> bool:
        """Evaluate an event of the switch; return whether it changed which calls may start.

        ``is_found``: a query of the switch found it, late and in no order.
        """
        is_over = isinstance(event, CallOver)
        call = self._calls.pop(event.call_id, None) if is_over else self._calls.get(event.call_id)
        found = self._congestion(event, call)
        if found is None and self._is_quiet:
            return False
        scopes = [(self.gateway, event, found)]
        if call:
            if found:
                self._make_own(found)
            scopes += [
                (breaker, seen, found)
                for leg, breaker in self._own(call)
                if (seen := event if leg is None else _seen_at(event, leg))
            ]
        changed = [
            breaker.observe_found(seen, found) if is_found else breaker.observe(seen, found)
            for breaker, seen, found in scopes
        ]
        self._forget_idle(call)
        self.changes += any(changed)
        return any(changed)

    @property
    def _is_quiet(self) -> bool:
        """Return whether no breaker has evidence against any call: then only a congestion is news."""
        return not self._organizations and not self._lines and self.gateway.is_idle

    def _congestion(self, event: Event, call: DialledCall | None) -> Congestion | None:
        if call is None or isinstance(event, CallProgressed) or event.end.outcome is not Outcome.CONGESTION:
            return None
        return Congestion(call.organization_id, call.line(event.end.leg or Leg.A), self._clock())

    def _own(self, call: DialledCall) -> Sequence[tuple[Leg | None, CircuitBreaker]]:
        """Return the breakers of the call's organisation (with no leg) and of its numbers, as far as there are any."""
        own: list[tuple[Leg | None, CircuitBreaker]] = []
        if breaker := self._organizations.get(call.organization_id):
            own.append((None, breaker))
        if breaker := self._lines.get(call.a_line):
            own.append((Leg.A, breaker))
        if breaker := self._lines.get(call.b_line):
            own.append((Leg.B, breaker))
        return own

    def _make_own(self, congestion: Congestion) -> None:
        if congestion.organization_id not in self._organizations:
            self._organizations[congestion.organization_id] = CircuitBreaker(lines_agree, clock=self._clock)
        breaker = self._lines.pop(congestion.line, None) or CircuitBreaker(calls_agree, clock=self._clock)
        self._lines[congestion.line] = breaker
        if len(self._lines) > BREAKERS_MAX:
            del self._lines[next(iter(self._lines))]

    def _forget_idle(self, call: DialledCall | None) -> None:
        if call is None:
            return
        if (own := self._organizations.get(call.organization_id)) and own.is_idle:
            del self._organizations[call.organization_id]
        for line in {call.a_line, call.b_line}:
            if (breaker := self._lines.get(line)) and breaker.is_idle:
                del self._lines[line]

    def _hold_of(self, breaker: CircuitBreaker) -> float:
        if breaker.is_closed or breaker.wants_probe:
            return 0.0
        return max(breaker.paused_s or 0.0, PROBE_S)


def _seen_at(event: Event, leg: Leg) -> Event | None:
    """Return what the event says about the number of one leg, as an event of leg A; None where it says nothing."""
    if isinstance(event, CallProgressed):
        reached = leg is Leg.A or event.progress is not Progress.RINGING_A
        return CallProgressed(event.call_id, Progress.RINGING_A) if reached else None
    if event.end.outcome in NO_EVIDENCE:
        return event
    ended_on = event.end.leg or (Leg.A if event.end.outcome is Outcome.CONGESTION else Leg.B)
    if ended_on is leg:
        return CallOver(event.call_id, msgspec.structs.replace(event.end, leg=Leg.A))
    if leg is Leg.A:
        return CallOver(event.call_id, CallEnd(outcome=Outcome.NO_ANSWER, leg=Leg.A))  # A answered
    return CallOver(event.call_id, CallEnd(outcome=Outcome.CANCELLED, leg=Leg.A))  # B was not dialled
