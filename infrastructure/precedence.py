"""Calls come before views: while very many calls start, what can wait gives way, for a bounded time."""

import asyncio
from time import monotonic

LASTS_S = 0.3  # after the last large batch of calls
_LOOK_S = 0.05


class Precedence:
    """Tells the views of this process when the dispatcher needs the processor more than they do.

    A phone that rings late is late for ever; a list that shows it a second later is not.
    """

    def __init__(self) -> None:
        """Nobody gives way at first."""
        self._until = 0.0

    def claim(self) -> None:
        """Have the views give way for a moment."""
        self._until = monotonic() + LASTS_S

    async def give_way(self, most_s: float) -> None:
        """Wait while it is claimed, so many seconds at most."""
        deadline = monotonic() + most_s
        while monotonic() < min(self._until, deadline):
            await asyncio.sleep(_LOOK_S)


CALLS = Precedence()
