"""The simulated phone network: its channels, its ledger and its clock. It knows nothing of sockets."""

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
    """What the network counted of itself since its process began.

    ``placed`` calls were dialled or met congestion; ``most`` were running at once, ``running`` are now.
    ``most_dials`` is how often one id was dialled, at most; of ``dialled_again``, the ids dialled more than once,
    ``examples`` are the first. ``live_again`` wishes named a call that was running.
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
    """A call that runs."""

    __slots__ = ("a_leaves", "call", "joined_at", "progress")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.progress = Progress.RINGING_A
        self.a_leaves = False
        self.joined_at = 0.0


class Network:
    """A switch and all the phones behind it. What is due happens when somebody calls ``run``, or asks.

    Durations are in seconds and divided by ``speed``, those that a call brings too.
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
        """``clock`` answers seconds since 1970; ``capacity`` is boundless by default."""
        self._clock = clock
        self._speed = speed
        self._talks_s = talks_s
        self._agenda = Agenda(clock)
        self._phones = Phones(seed)
        self._capacity = capacity or Capacity()
        self._ledger = Ledger()
        self._telling = EventStream(self._agenda, clock, seed)
        self._channels: dict[str, _Channel] = {}
        self._restarts = 0
        self._most = self._live_again = 0
        self._outcomes: Counter[Outcome] = Counter()
        self.started = self._stamp()
        self.faults = faults or Faults()

    @property
    def faults(self) -> Faults:
        """What goes wrong at present."""
        return self._telling.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._telling.faults = faults

    @property
    def next_due(self) -> float | None:
        """When ``run`` is wanted next, by the clock."""
        return self._agenda.next_due

    def seconds_until(self, due: float) -> float:
        """Answer how many seconds are left until then, not less than none."""
        return max(0.0, due - self._clock())

    def run(self) -> None:
        """Let happen what is due."""
        self._agenda.run()

    def take_events(self) -> list[Event]:
        """Answer what is to be told since the last time, in the order of telling."""
        self.run()
        return self._telling.take()

    def place(self, call: Call) -> PlaceResult:
        """Dial. A call that runs is not dialled again (and the answer tells nothing); one that has ended is."""
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
        """End the call, if it runs."""
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
        """Answer what is known of each call."""
        self.run()
        return [self._find(call_id) for call_id in call_ids]

    def restart(self, *, keep_ledger: bool) -> None:
        """Fall over and come back: the calls that run leave no row, the start stamp changes."""
        self.run()
        self._channels.clear()
        self._telling.forget()
        if not keep_ledger:
            self._ledger.forget()
        self._restarts += 1
        self.started = self._stamp()

    def counts(self) -> Counts:
        """Answer what was counted."""
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
        self._come_to(channel, Progress.RINGING_A if is_a else Progress.RINGING_B)
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
        self._come_to(channel, Progress.JOINED)
        self._end_later(channel, talk_s, _success(talk_s), at)

    def _end_later(self, channel: _Channel, seconds: float, end: CallEnd, at: float) -> None:
        self._later(channel, seconds, lambda due: self._end(channel, end, due), at)

    def _later(self, channel: _Channel, seconds: float, action: Callable[[float], None], at: float) -> None:
        def if_it_runs(due: float) -> None:
            if self._channels.get(channel.call.id) is channel:
                action(due)

        self._agenda.put(at + seconds / self._speed, if_it_runs)

    def _come_to(self, channel: _Channel, progress: Progress) -> None:
        channel.progress = progress
        self._telling.tell(CallProgressed(channel.call.id, progress))

    def _end(self, channel: _Channel, end: CallEnd, at: float) -> None:
        del self._channels[channel.call.id]
        self._record(channel.call.id, end, at)

    def _record(self, call_id: str, end: CallEnd, at: float) -> None:
        self._ledger.write(call_id, end, at)
        self._outcomes[end.outcome] += 1
        self._telling.tell(CallOver(call_id, end))

    def _talk_s(self, call: Call) -> float:
        return min(self._talks_s, call.longest_talk_s)

    def _stamp(self) -> str:
        return f"{datetime.fromtimestamp(self._clock(), UTC).isoformat()}#{self._restarts}"


def _success(seconds: float) -> CallEnd:
    return CallEnd(outcome=Outcome.SUCCESS, sip="SIP 200 OK", cause=16, dial_status="ANSWER", seconds=seconds)
