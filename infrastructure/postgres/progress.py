"""Progress of long work in the database: lines of the log, and the deadline of a connection that blocks its thread."""

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import structlog

from infrastructure.postgres.service_connection import shut_down

_PROGRESS_S = 10.0

_logger = structlog.get_logger(__name__)


@contextmanager
def reporting(name: str) -> Generator[None]:
    """Log every ten seconds that the work continues."""
    loop, began = asyncio.get_running_loop(), time.monotonic()

    def report() -> None:
        nonlocal timer
        _log_progress(name, began)
        timer = loop.call_later(_PROGRESS_S, report)

    timer = loop.call_later(_PROGRESS_S, report)
    try:
        yield
    finally:
        timer.cancel()


class Watch:
    """A thread that ends a blocking connection at its deadline, or else reports every ten seconds that the work continues."""

    def __init__(self, connection: psycopg.Connection[Any], deadline_s: float | None, name: str) -> None:
        """Start the thread; ``name`` is that of the work."""
        self._stopped = threading.Event()
        self.has_expired = False
        arguments = (connection, deadline_s, name)
        threading.Thread(target=self._run, args=arguments, daemon=True, name=f"watch {name}").start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _run(self, connection: psycopg.Connection[Any], deadline_s: float | None, name: str) -> None:
        began = time.monotonic()
        while not self._stopped.wait(deadline_s or _PROGRESS_S):
            if deadline_s:
                self.has_expired = True
                shut_down(connection.pgconn)
                return
            _log_progress(name, began)


def _log_progress(name: str, began: float) -> None:
    _logger.info("database work continues", work=name, seconds=round(time.monotonic() - began))
