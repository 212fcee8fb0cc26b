"""Connections: the pool, and the service's connection string."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import ClassVar
from weakref import WeakSet

import psycopg
import structlog
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from application.errors import StorageNeedsAttention, StorageUnavailable
from application.ports.operations import UnsuitableDatabase
from application.time_budget import current_budget
from infrastructure.postgres import metrics
from infrastructure.postgres.cancellation import propagate_cancellation
from infrastructure.postgres.errors import translate_errors
from infrastructure.postgres.roles import APP_ROLE
from infrastructure.postgres.service_connection import ServiceConnection
from infrastructure.postgres.sessions import REQUEST, Purpose, connect
from infrastructure.postgres.silence import sessions_at_work

API_CONNECTIONS = 13
"""The most connections of one API process."""

BACKGROUND_CONNECTIONS = 4
"""Those of a worker for projections, policies and webhook deliveries, which rest most of the time."""

DIALLING_CONNECTIONS = 4
"""Those of a worker for the dispatcher and for the first attempts of webhooks."""

WORKER_CONNECTIONS = BACKGROUND_CONNECTIONS + DIALLING_CONNECTIONS + 1
"""The most connections of one worker with a gateway; one of them only listens."""

_logger = structlog.get_logger(__name__)

_PROVED_S = 1.0
_PING_S = 2.0
_EXAMINE_EVERY_S = 1.0
_LIFETIME_S = 3600.0


def service_dsn(owner: str, password: str | None = None) -> str:
    """Return the connection string of the service's login to the owner's database.

    Without ``password`` it keeps the owner's, which is right where the server asks for none.
    """
    secret = {} if password is None else {"password": password}
    return make_conninfo(owner, user=APP_ROLE, **secret)


class Pool:
    """A small pool of connections, which are opened when they are needed; a lost or silent one is replaced.

    A connection that has not responded within the last second is pinged before use: a round trip that only a quiet pool
    pays. When one connection of this process was silent, those that have not responded since are suspected, in all pools:
    idle ones are replaced at once. In pools with a longer deadline than a request's, those in use are ended as soon as the
    server says that it waits for them. Requests get their connections in their order.
    """

    _silence_seen_at = 0.0
    _patient: ClassVar["WeakSet[Pool]"] = WeakSet()

    def __init__(
        self, dsn: str, *, size: int, name: str, purpose: Purpose = REQUEST, allow_owner: bool = False
    ) -> None:
        """Keep at most ``size`` connections to ``dsn``; Postgres shows ``perezvon <name>`` as the application's name.

        Each new connection is refused if its login has the rights of the log's owner, unless ``allow_owner`` is set: rights
        may change, and a failover may lead to another server.
        """
        self._dsn = dsn
        self._name = name
        self._purpose = purpose
        self._allow_owner = allow_owner
        self._free = size
        self._idle: list[ServiceConnection] = []
        self._in_use: set[ServiceConnection] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._examining: asyncio.Task[None] | None = None
        self._is_closed = False
        if (purpose.deadline_s or 60.0) > (REQUEST.deadline_s or 0.0):
            Pool._patient.add(self)

    async def close(self) -> None:
        """Close the idle connections now, and the others when they are returned."""
        self._is_closed = True
        Pool._patient.discard(self)
        if self._examining:
            self._examining.cancel()
        await self._close_idle()

    @asynccontextmanager
    async def connection(self, within_s: float | None = None) -> AsyncGenerator[ServiceConnection]:
        """Yield a connection in autocommit mode.

        The deadline of the pool's purpose bounds the use, from waiting for a connection on; so do ``within_s`` seconds,
        and what is left of the request's time budget. After it the connection is closed, and what it waits for fails.
        Raises StorageUnavailable. A cancellation that arrives meanwhile is raised at the end.
        """
        loop, budget = asyncio.get_running_loop(), current_budget()
        seconds = min(self._purpose.deadline_s or 60.0, 3600.0 if within_s is None else within_s)
        if budget is not None and budget.left < seconds:
            seconds = budget.left
        if seconds <= 0:
            raise StorageUnavailable("No time is left to ask the database")
        began = loop.time()
        try:
            with propagate_cancellation(), translate_errors():
                connection = await self._take(began + seconds)
                timer = loop.call_at(began + seconds, self._abort, connection, seconds > self._purpose.statement_s)
                self._in_use.add(connection)
                try:
                    yield connection
                except psycopg.Error as error:
                    if connection.is_aborted:
                        waited_s = loop.time() - began
                        raise StorageUnavailable(f"The database did not respond within {waited_s:.1f} s") from error
                    raise
                finally:
                    timer.cancel()
                    self._in_use.discard(connection)
                    await self._put_back(connection)
        finally:
            if budget is not None:
                budget.left -= loop.time() - began

    @staticmethod
    def note_silence() -> None:
        """Examine all connections of this process: one did not respond in time."""
        Pool._silence_seen_at = time.monotonic()
        for pool in Pool._patient:
            pool.examine()

    def examine(self) -> None:
        """End waits for the server in which the server waits for us: what one of the two has sent never arrived."""
        if self._examining is None or self._examining.done():
            self._examining = asyncio.create_task(self._end_silent_waits())

    def _abort(self, connection: ServiceConnection, server_is_silent: bool) -> None:  # noqa: FBT001 - a callback of the loop
        """End the use of a connection at its deadline.

        The server is silent if it did not even report its own timeout. A request with less time left ends sooner, which says
        nothing about the other connections; nor does a connection that is only held, while the process does other work.
        """
        is_awaited = connection.is_waiting
        connection.abort()
        if is_awaited:
            metrics.SILENT.labels(self._name).inc()
        if is_awaited and server_is_silent:
            Pool.note_silence()

    async def _end_silent_waits(self) -> None:
        """Ask about the connections in use, until each has responded since the last silence or has ended."""
        while suspects := {one.info.backend_pid: one for one in self._in_use if one.proved_at < Pool._silence_seen_at}:
            with suppress(StorageUnavailable, UnsuitableDatabase):
                at_work = await sessions_at_work(self._dsn, suspects)
                before = time.monotonic() - _PROVED_S
                for pid in suspects.keys() - at_work:
                    one = suspects[pid]
                    if one in self._in_use and one.is_waiting and one.proved_at < before and not one.has_input():
                        metrics.SILENT.labels(self._name).inc()
                        one.abort()
            await asyncio.sleep(_EXAMINE_EVERY_S)

    async def _take(self, until: float) -> ServiceConnection:
        await self._take_place(until)
        try:
            return await self._idle_connection(until) or await self._new_connection(until)
        except BaseException:
            self._give_place()
            raise

    async def _take_place(self, until: float) -> None:
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.append(place)
        timer = loop.call_at(until, _refuse, place)
        try:
            await place
        except BaseException:
            if place in self._waiting:
                self._waiting.remove(place)
            elif not place.cancelled() and place.exception() is None:  # cancelled in the turn in which it was given
                self._give_place()
            raise
        finally:
            timer.cancel()

    def _give_place(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    async def _idle_connection(self, until: float) -> ServiceConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.proved_at < Pool._silence_seen_at:
                await connection.close()
                continue
            if time.monotonic() - connection.proved_at < _PROVED_S and not connection.has_input():
                return connection
            if await self._responds(connection, until):
                return connection
        return None

    async def _responds(self, connection: ServiceConnection, until: float) -> bool:
        """Return whether the connection works; close it if it does not."""
        loop = asyncio.get_running_loop()
        ping_until = loop.time() + _PING_S
        timer = loop.call_at(min(until, ping_until), self._abort, connection, ping_until <= until)
        try:
            await connection.execute(b"")
        except BaseException as error:
            await connection.close()
            if not isinstance(error, psycopg.Error):
                raise
            return False
        finally:
            timer.cancel()
        return True

    async def _new_connection(self, until: float) -> ServiceConnection:
        try:
            async with asyncio.timeout_at(until):
                return await connect(self._dsn, self._purpose, self._name, allow_owner=self._allow_owner)
        except TimeoutError as error:
            raise StorageUnavailable("The database did not accept a connection in time") from error
        except UnsuitableDatabase as error:
            reason = "the database does not suit the service"
            _logger.error("database needs attention", reason=reason, error=str(error))  # noqa: TRY400 - no traceback: it is no bug
            raise StorageNeedsAttention(reason, text=str(error)) from error

    async def _put_back(self, connection: ServiceConnection) -> None:
        is_usable = (
            not connection.is_aborted
            and not self._is_closed
            and connection.pgconn.transaction_status == TransactionStatus.IDLE
            and time.monotonic() - connection.opened_at < _LIFETIME_S
        )
        if is_usable:
            self._idle.append(connection)
        else:
            await connection.close()
        self._give_place()

    async def _close_idle(self) -> None:
        while self._idle:
            await self._idle.pop().close()


def _refuse(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_exception(StorageUnavailable("No connection was free in time"))
