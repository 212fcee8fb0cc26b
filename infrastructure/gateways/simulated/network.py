"""The simulated phone network: its channels, ledger and clock, without sockets."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from application.ports.call_gateway import (
    Absent,
    Call,
    CallOver,
    CallProgressed,
    CallState,
    Ended,
    Live,
    PlaceResult,
    Progress,
)
from domain.callback.events import CallEnd, Leg, Outcome
from infrastructure.gateways.simulated.agenda import Agenda
from infrastructure.gateways.simulated.capacity import Capacity
from infrastructure.gateways.simulated.event_stream import Event, EventStream
from infrastructure.gateways.simulated.faults import Faults
from infrastructure.gateways.simulated.ledger import Ledger
from infrastructure.gateways.simulated.phones import ABANDONED, Behaviour, Phones, end_of

RINGS_S = 2.0
TALKS_S = 10.0
_LEAVES_AFTER_S = 1.0

_CONGESTED = end_of(Behaviour.CONGESTED, Leg.A)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of the network since its process started.

    ``placed`` calls were dialled or met congestion; ``most`` is the largest number of concurrent calls, ``running`` the
    present one. ``most_dials`` is the largest number of dials of one id; ``examples`` are the first of the
    ``dialled_again`` ids dialled more than once. ``live_again`` requests named a call that was running.
    """

    placed: int
    running: int
    most: int
    most_dials: int
    dialled_again: int
    examples: list[str]
    live_again: int
    outcomes: dict[Outcome, int]


class _Channel:
    """A live call."""

    __slots__ = ("a_leaves", "call", "joined_at", "progress")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.progress = Progress.RINGING_A
        self.a_leaves = False
        self.joined_at = 0.0


class Network:
    """A switch and all phones behind it. Due actions run in ``run``, and before each query.

    Durations are in seconds and divided by ``speed``, including those of a call.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        speed: float = 1.0,
        talks_s: float = TALKS_S,
        capacity: Capacity | None = None,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read seconds since 1970 from ``clock``; ``capacity`` is unlimited by default."""
        self._clock = clock
        self._speed = speed
        self._talks_s = talks_s
        self._agenda = Agenda(clock)
        self._phones = Phones(seed)
        self._capacity = capacity or Capacity()
        self._ledger = Ledger()
        self._events = EventStream(self._agenda, clock, seed)
        self._channels: dict[str, _Channel] = {}
        self._restarts = 0
        self._most = self._live_again = 0
        self._outcomes: Counter[Outcome] = Counter()
        self.started = self._stamp()
        self.faults = faults or Faults()

    @property
    def faults(self) -> Faults:
        """The current faults."""
        return self._events.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._events.faults = faults

    @property
    def next_due(self) -> float | None:
        """Time at which ``run`` is due next, by the clock."""
        return self._agenda.next_due

    def seconds_until(self, due: float) -> float:
        """Return the seconds until then, at least 0."""
        return max(0.0, due - self._clock())

    def run(self) -> None:
        """Run the due actions."""
        self._agenda.run()

    def drain_events(self) -> list[Event]:
        """Return the events since the last call, in the order of sending."""
        self.run()
        return self._events.drain()

    def place(self, call: Call) -> PlaceResult:
        """Dial. A live call is not dialled again, and the result is ``unknown``; one that has ended is dialled again."""
        self.run()
        if self.faults.refuse:
            return PlaceResult.REFUSED
        if call.id in self._channels:
            self._live_again += 1
            return PlaceResult.UNKNOWN
        self._ledger.dialled(call.id)
        now = self._clock()
        if not self._capacity.admits(len(self._channels), now):
            self._record(call.id, _CONGESTED, now)
            return PlaceResult.ACCEPTED
        channel = self._channels[call.id] = _Channel(call)
        self._most = max(self._most, len(self._channels))
        self._dial(channel, Leg.A, now)
        return PlaceResult.ACCEPTED

    def hang_up(self, call_id: str) -> None:
        """End the call, if it is live."""
        self.run()
        if (channel := self._channels.get(call_id)) is None:
            return
        now = self._clock()
        match channel.progress:
            case Progress.JOINED:
                end = _success(min((now - channel.joined_at) * self._speed, self._talk_s(channel.call)))
            case Progress.RINGING_A:
                end = CallEnd(outcome=Outcome.CANCELLED, leg=Leg.A)
            case Progress.RINGING_B:
                end = CallEnd(outcome=Outcome.CANCELLED, leg=Leg.B, dial_status="CANCEL")
        self._end(channel, end, now)

    def find(self, call_ids: Sequence[str]) -> list[CallState]:
        """Return the state of each call."""
        self.run()
        return [self._find(call_id) for call_id in call_ids]

    def restart(self, *, keep_ledger: bool) -> None:
        """Crash and restart: live calls leave no row, and the start stamp changes."""
        self.run()
        self._channels.clear()
        self._events.clear()
        if not keep_ledger:
            self._ledger.forget()
        self._restarts += 1
        self.started = self._stamp()

    def counts(self) -> Counts:
        """Return the counts."""
        self.run()
        return Counts(
            placed=self._ledger.dials,
            running=len(self._channels),
            most=self._most,
            most_dials=self._ledger.most_dials,
            dialled_again=self._ledger.dialled_again,
            examples=[*self._ledger.examples],
            live_again=self._live_again,
            outcomes=dict(self._outcomes),
        )

    def _find(self, call_id: str) -> CallState:
        if channel := self._channels.get(call_id):
            return Live(channel.progress)
        if row := self._ledger.row(call_id):
            end, at = row
            return Ended(end, datetime.fromtimestamp(at, UTC))
        return Absent()

    def _dial(self, channel: _Channel, leg: Leg, at: float) -> None:
        call = channel.call
        is_a = leg is Leg.A
        number, limit_s = (call.a_number, call.ring_a_s) if is_a else (call.b_number, call.ring_b_s)
        behaviour = self._phones.behaviour(call.id, leg, number)
        if behaviour in {Behaviour.BUSY, Behaviour.UNKNOWN, Behaviour.CONGESTED}:
            self._end(channel, end_of(behaviour, leg), at)
            return
        self._progress(channel, Progress.RINGING_A if is_a else Progress.RINGING_B)
        if channel.a_leaves:
            self._end_later(channel, min(_LEAVES_AFTER_S, limit_s), ABANDONED, at)
        elif behaviour is Behaviour.RINGS or limit_s < RINGS_S:
            self._end_later(channel, limit_s, end_of(Behaviour.RINGS, leg), at)
        elif behaviour is Behaviour.REJECTS:
            self._end_later(channel, RINGS_S, end_of(behaviour, leg), at)
        elif is_a:
            channel.a_leaves = behaviour is Behaviour.LEAVES
            self._later(channel, RINGS_S, lambda due: self._dial(channel, Leg.B, due), at)
        else:
            talk_s = self._talk_s(call)
            talk_s = min(talk_s, _LEAVES_AFTER_S) if behaviour is Behaviour.LEAVES else talk_s
            self._later(channel, RINGS_S, lambda due: self._join(channel, talk_s, due), at)

    def _join(self, channel: _Channel, talk_s: float, at: float) -> None:
        channel.joined_at = at
        self._progress(channel, Progress.JOINED)
        self._end_later(channel, talk_s, _success(talk_s), at)

    def _end_later(self, channel: _Channel, seconds: float, end: CallEnd, at: float) -> None:
        self._later(channel, seconds, lambda due: self._end(channel, end, due), at)

    def _later(self, channel: _Channel, seconds: float, action: Callable[[float], None], at: float) -> None:
        def if_live(due: float) -> None:
            if self._channels.get(channel.call.id) is channel:
                action(due)

        self._agenda.put(at + seconds / self._speed, if_live)

    def _progress(self, channel: _Channel, progress: Progress) -> None:
        channel.progress = progress
        self._events.emit(CallProgressed(channel.call.id, progress))

    def _end(self, channel: _Channel, end: CallEnd, at: float) -> None:
        del self._channels[channel.call.id]
        self._record(channel.call.id, end, at)

    def _record(self, call_id: str, end: CallEnd, at: float) -> None:
        self._ledger.write(call_id, end, at)
        self._outcomes[end.outcome] += 1
        self._events.emit(CallOver(call_id, end))

    def _talk_s(self, call: Call) -> float:
        return min(self._talks_s, call.longest_talk_s)

    def _stamp(self) -> str:
        return f"{datetime.fromtimestamp(self._clock(), UTC).isoformat()}#{self._restarts}"


def _success(seconds: float) -> CallEnd:
    return CallEnd(outcome=Outcome.SUCCESS, sip="SIP 200 OK", cause=16, dial_status="ANSWER", seconds=seconds)
