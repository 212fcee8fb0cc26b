"""Notifications: wake waiting tasks on Postgres NOTIFY, with polling as fallback."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from application.errors import StorageUnavailable
from application.ports.operations import UnsuitableDatabase
from infrastructure.postgres.cancellation import propagate_cancellation
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.service_connection import deadline
from infrastructure.postgres.sessions import LISTEN, open_connection
from infrastructure.postgres.sql import LOG_TABLE

NEW_EVENTS = LOG_TABLE
"""Channel of the log: it has new events."""
READERS = "readers"
"""Channel of readers that wait for a view."""
TIMETABLE = "timetable"
"""Channel of the timetable: a call may have to be started or hung up."""
WEBHOOKS = "webhooks"
"""Channel of the outbox: a webhook may have to be sent."""
LISTENER = "listener"

POLL_S = 1.0
"""The longest wait for a notification, which may be lost with its connection."""
_RECONNECT_S = 1.0
_PING_EVERY_S = 5.0
_PING_S = 3.0

_logger = structlog.get_logger(__name__)


class Channel:
    """Wakes its subscribers on NOTIFY; while there is no connection, each poll of a subscriber wakes it instead."""

    def __init__(self) -> None:
        """Use ``Listener.channel``."""
        self._wakes: set[asyncio.Event] = set()
        self._observers: list[Callable[[str], None]] = []

    def subscribe(self) -> asyncio.Event:
        """Return an event that is set at each notification; the subscriber clears it."""
        wake = asyncio.Event()
        self._wakes.add(wake)
        return wake

    def observe(self, observer: Callable[[str], None]) -> Callable[[], None]:
        """Call ``observer`` with the payload of each notification, before subscribers wake; return what ends that.

        The payload is empty when notifications may have been missed.
        """
        self._observers.append(observer)
        return partial(self._observers.remove, observer)

    def wake_all(self, payload: str = "") -> None:
        """Wake all subscribers."""
        for observer in self._observers:
            observer(payload)
        for wake in self._wakes:
            wake.set()


class Listener:
    """Listens to all channels of the service over one connection; Postgres shows it as ``perezvon listener``."""

    def __init__(self, dsn: str, *, allow_owner: bool = False) -> None:
        """Connect to ``dsn`` in ``run``; ``allow_owner`` is explained at ``Pool``."""
        self._dsn = dsn
        self._allow_owner = allow_owner
        self._channels = {name: Channel() for name in (NEW_EVENTS, READERS, TIMETABLE, WEBHOOKS)}

    def channel(self, name: str) -> Channel:
        """Return the channel of that name. Raises KeyError for one that the service does not have."""
        return self._channels[name]

    async def run_until(self, stop: asyncio.Event) -> None:
        """Listen until ``stop`` is set; then wake all subscribers, so that they see it at once."""
        listening = asyncio.create_task(self.run())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((listening, stopping), return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                listening.result()  # raises: it ends by an error only
            self.wake_all()
        finally:
            listening.cancel()
            stopping.cancel()

    def wake_all(self) -> None:
        """Wake all subscribers of all channels."""
        for channel in self._channels.values():
            channel.wake_all()

    async def run(self) -> None:
        """Listen until cancelled; reconnect whenever the connection is lost."""
        while True:
            try:
                with propagate_cancellation():
                    await self._listen()
            except (StorageUnavailable, UnsuitableDatabase) as error:
                _logger.warning("listener disconnected", error=str(error))
                await asyncio.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        async with open_connection(self._dsn, LISTEN, LISTENER, allow_owner=self._allow_owner) as connection:
            with deadline(connection, _PING_S):
                await connection.execute("; ".join(f"LISTEN {name}" for name in self._channels).encode())
            self.wake_all()
            while True:
                async for notification in connection.notifies(timeout=_PING_EVERY_S):
                    self._channels[notification.channel].wake_all(notification.payload)
                try:
                    with deadline(connection, _PING_S):
                        await connection.execute(b"")  # the wait for a silent connection would never end
                except StorageUnavailable:
                    Pool.note_silence()
                    raise


async def wait_or_timeout(wake: asyncio.Event, seconds: float = POLL_S) -> None:
    """Wait until the event is set, but no longer than ``seconds``."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()
