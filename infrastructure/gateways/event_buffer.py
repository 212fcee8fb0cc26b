"""Who listens to what a gateway tells."""

import asyncio
from collections.abc import Sequence

from application.ports.call_gateway import GatewayEvent

_MOST_UNHEARD = 100_000


class EventBuffer:
    """What one listener has not heard yet."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._unheard: list[GatewayEvent] = []
        self._wake = asyncio.Event()

    def hear(self, events: Sequence[GatewayEvent]) -> bool:
        """Take events in; answer whether there was room, for otherwise all are dropped."""
        self._unheard += events
        self._wake.set()
        has_room = len(self._unheard) <= _MOST_UNHEARD
        if not has_room:
            self._unheard.clear()
        return has_room

    async def listen(self) -> Sequence[GatewayEvent]:
        """Answer what came in since the last time, once something did; nothing at the end."""
        await self._wake.wait()
        self._wake.clear()
        heard, self._unheard = self._unheard, []
        return heard
