"""A buffer of gateway events for one consumer."""

import asyncio
from collections.abc import Sequence

from application.ports.call_gateway import GatewayEvent

_BUFFERED_MAX = 100_000


class EventBuffer:
    """Events that one consumer has not received yet."""

    def __init__(self) -> None:
        """Start empty."""
        self._events: list[GatewayEvent] = []
        self._wake = asyncio.Event()

    def put(self, events: Sequence[GatewayEvent]) -> bool:
        """Add events; return whether there was room. Without room all buffered events are dropped."""
        self._events += events
        self._wake.set()
        has_room = len(self._events) <= _BUFFERED_MAX
        if not has_room:
            self._events.clear()
        return has_room

    async def get(self) -> Sequence[GatewayEvent]:
        """Wait for events, and return all that arrived since the last time; none at the end of the gateway."""
        await self._wake.wait()
        self._wake.clear()
        events, self._events = self._events, []
        return events
