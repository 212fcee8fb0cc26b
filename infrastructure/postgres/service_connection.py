"""The connection of the service: its waits can be ended although the server is silent."""

import asyncio
import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from select import POLLIN, poll
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection, pq, waiting
from psycopg.abc import PQGen
from psycopg.rows import AsyncRowFactory, TupleRow, tuple_row

from application.errors import StorageUnavailable

T = TypeVar("T")

_INTERVAL_S = 0.1


class ServiceConnection(AsyncConnection[TupleRow]):
    """A connection whose waits can be ended although the server is silent: ``abort`` shuts its socket down.

    To cancel a query, as psycopg does, works only if the server responds.
    """

    def __init__(self, pgconn: pq.abc.PGconn, row_factory: AsyncRowFactory[TupleRow] = tuple_row) -> None:
        """Wrap a connection of libpq."""
        super().__init__(pgconn, row_factory)
        self.opened_at = self.proved_at = time.monotonic()
        self.is_aborted = False
        self.is_waiting = False

    async def wait(self, gen: PQGen[T], interval: float = _INTERVAL_S, timeout: float | None = None) -> T:  # noqa: ASYNC109 - the signature of psycopg
        """Wait for the server; note that it has responded. A cancellation ends the connection."""
        self.is_waiting = True
        try:
            result = await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.abort()
            raise
        finally:
            self.is_waiting = False
        self.proved_at = time.monotonic()
        return result

    def abort(self) -> None:
        """End the connection and every wait for it, now."""
        self.is_aborted = True
        shut_down(self.pgconn)

    def has_input(self) -> bool:
        """Return whether the server has sent something unasked: as a rule, that it closes the connection."""
        poller = poll()
        poller.register(self.pgconn.socket, POLLIN)
        return bool(poller.poll(0))


@contextmanager
def deadline(connection: ServiceConnection, seconds: float) -> Generator[None]:
    """Abort the connection unless the block ends within ``seconds``. Raises StorageUnavailable then."""
    timer = asyncio.get_running_loop().call_later(seconds, connection.abort)
    try:
        yield
    except psycopg.Error as error:
        if connection.is_aborted:
            raise StorageUnavailable(f"The database did not respond within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()


def shut_down(pgconn: pq.abc.PGconn) -> None:
    """End every wait for the connection, now: shut its socket down, without closing it for libpq."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(pgconn.socket)) as twin:
        twin.shutdown(socket.SHUT_RDWR)
