"""Notifications: wake waiting tasks on Postgres NOTIFY, with polling as fallback."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from infrastructure.postgres.cancellation import propagate_cancellation
from infrastructure.postgres.sql import LOG_TABLE

_POLL_S = 1.0
_RECONNECT_S = 1.0

_logger = structlog.get_logger(__name__)


class Listener:
    """Wakes its subscribers on NOTIFY. Where a pooler prevents LISTEN, each poll of a subscriber wakes it instead."""

    def __init__(self, dsn: str, channel: str = LOG_TABLE) -> None:
        """Listen to a channel, by default the log's, over a connection of its own to ``dsn``."""
        self._channel = channel
        name = "new events" if channel == LOG_TABLE else channel
        self._dsn = make_conninfo(dsn, application_name=f"perezvon {name}", connect_timeout=3)
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

    async def run(self) -> None:
        """Listen until cancelled; reconnect whenever the connection is lost."""
        while True:
            try:
                with propagate_cancellation():
                    await self._listen()
            except psycopg.Error as error:
                _logger.warning("listener disconnected", channel=self._channel, error=type(error).__name__)
                await asyncio.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        async with await AsyncConnection.connect(self._dsn, autocommit=True) as connection:
            await connection.execute(f"LISTEN {self._channel}".encode())
            self.wake_all()
            async for notification in connection.notifies():
                self.wake_all(notification.payload)


async def wait_or_timeout(wake: asyncio.Event, seconds: float = _POLL_S) -> None:
    """Wait until the event is set, but no longer than ``seconds``."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()
