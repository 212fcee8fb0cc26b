"""What the simulated switch tells of its calls, with the faults that were asked for."""

from collections.abc import Callable

from application.ports.call_gateway import CallOver, CallProgressed
from infrastructure.gateways.simulated.agenda import Agenda
from infrastructure.gateways.simulated.faults import Fates, Faults

Event = CallProgressed | CallOver


class EventStream:
    """Events on their way to whoever listens."""

    def __init__(self, agenda: Agenda, clock: Callable[[], float], seed: int) -> None:
        """Late events wait in ``agenda``."""
        self._agenda = agenda
        self._clock = clock
        self._fates = Fates(seed)
        self._said: list[Event] = []
        self._held: list[Event] = []
        self._epoch = 0
        self.faults = Faults()

    def tell(self, event: Event) -> None:
        """Tell an event, as its fate has it."""
        fate = self._fates.draw(self.faults)
        copies = [event] * fate.times
        if fate.late_s:
            self._say_late(copies, fate.late_s)
        elif fate.after_next:
            self._held += copies
        else:
            self._say(copies)

    def take(self) -> list[Event]:
        """Answer what was said since the last time."""
        said, self._said = self._said, []
        return said

    def forget(self) -> None:
        """Drop all that is not said yet."""
        self._said, self._held = [], []
        self._epoch += 1

    def _say(self, events: list[Event]) -> None:
        self._said += events
        self._said += self._held
        self._held = []

    def _say_late(self, events: list[Event], seconds: float) -> None:
        epoch = self._epoch

        def unless_forgotten(_due: float) -> None:
            if epoch == self._epoch:
                self._say(events)

        self._agenda.put(self._clock() + seconds, unless_forgotten)
