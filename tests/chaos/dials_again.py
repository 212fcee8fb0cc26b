"""A build that dials a call again soon after it was placed: the harness must find it out. `./run chaos --asterisk --dial-again`."""

import asyncio
import sys

from application.ports.call_gateway import Call, PlaceResult
from infrastructure.gateways.asterisk.client import AsteriskGateway
from interfaces.cli import main

_SOON_S = 2.0  # the shortest calls have ended by then: Asterisk dials an id again that is free
_place_once = AsteriskGateway.place
_background: set[asyncio.Task[None]] = set()


async def place_twice(self: AsteriskGateway, call: Call) -> PlaceResult:
    """Place the call, and once more in the background."""
    task = asyncio.create_task(_place_again(self, call))
    _background.add(task)
    task.add_done_callback(_background.discard)
    return await _place_once(self, call)


async def _place_again(gateway: AsteriskGateway, call: Call) -> None:
    await asyncio.sleep(_SOON_S)
    await _place_once(gateway, call)


if __name__ == "__main__":
    AsteriskGateway.place = place_twice
    sys.exit(main())
