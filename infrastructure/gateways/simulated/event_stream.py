"""The event stream of the simulated switch, with the faults that are set."""

from collections.abc import Callable

from application.ports.call_gateway import CallOver, CallProgressed
from infrastructure.gateways.simulated.agenda import Agenda
from infrastructure.gateways.simulated.faults import Fates, Faults

Event = CallProgressed | CallOver


class EventStream:
    """Events in flight to clients."""

    def __init__(self, agenda: Agenda, clock: Callable[[], float], seed: int) -> None:
        """Schedule late events in ``agenda``."""
        self._agenda = agenda
        self._clock = clock
        self._fates = Fates(seed)
        self._ready: list[Event] = []
        self._held: list[Event] = []
        self._epoch = 0
        self.faults = Faults()

    def emit(self, event: Event) -> None:
        """Emit an event, subject to the faults."""
        fate = self._fates.draw(self.faults)
        copies = [event] * fate.times
        if fate.late_s:
            self._release_late(copies, fate.late_s)
        elif fate.after_next:
            self._held += copies
        else:
            self._release(copies)

    def drain(self) -> list[Event]:
        """Return the events released since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def clear(self) -> None:
        """Drop all events that are not drained yet."""
        self._ready, self._held = [], []
        self._epoch += 1

    def _release(self, events: list[Event]) -> None:
        self._ready += events
        self._ready += self._held
        self._held = []

    def _release_late(self, events: list[Event], seconds: float) -> None:
        epoch = self._epoch

        def unless_cleared(_due: float) -> None:
            if epoch == self._epoch:
                self._release(events)

        self._agenda.put(self._clock() + seconds, unless_cleared)
