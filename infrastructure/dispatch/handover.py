"""Hands attempts over that a term of leadership left undialled: the next leader records them as not dialled.

Only the worker that started an attempt can be certain that it was not sent to the switch. So it marks the row of the call,
whichever worker leads by then. The mark names the fence under which the call was started: another leader that starts the same attempt,
because the first start was rolled back, has another one.
"""

import asyncio
import time
from collections.abc import Iterable

import psycopg
import structlog
from psycopg import AsyncConnection

from application.errors import StorageUnavailable
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement

MARKED_FOR_S = 60.0
"""How long marks are repeated: a commit whose result is unknown may still be in flight."""
_EVERY_S = 0.5

_MARK = statement("""
    UPDATE {schema}.open_calls
    SET is_undialled = true
    WHERE call_id = ANY(%s::uuid[]) AND gateway = %s AND fence = %s AND NOT is_undialled
""")
_MARKED = statement("SELECT call_id::text FROM {schema}.open_calls WHERE call_id = ANY(%s::uuid[]) AND is_undialled")

_logger = structlog.get_logger(__name__)


class Handover:
    """Calls of past terms of this worker that were never sent to the switch."""

    def __init__(self, pool: Pool, gateway: str) -> None:
        """Mark rows of the gateway's open calls."""
        self._pool = pool
        self._gateway = gateway
        self._left: list[tuple[int, list[str], float]] = []  # fence, call ids, and until when to mark them

    def leave(self, fence: int, call_ids: Iterable[str]) -> None:
        """Note the calls of a term that has ended: from now on this worker does not send them."""
        if ids := sorted(call_ids):
            self._left.append((fence, ids, time.monotonic() + MARKED_FOR_S))

    async def run(self) -> None:
        """Mark until cancelled, as soon as the database can be reached."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.mark()
            except (StorageUnavailable, psycopg.Error) as error:
                _logger.info("handover postponed", error=type(error).__name__)

    async def mark(self) -> None:
        """Mark the calls that were left. Raises StorageUnavailable, psycopg.Error."""
        for left in list(self._left):
            fence, ids, until = left
            async with self._pool.connection() as connection:
                marked = (await connection.execute(_MARK, (ids, self._gateway, fence))).rowcount
            if marked:
                _logger.warning("undialled calls handed over", gateway=self._gateway, fence=fence, calls=marked)
            if time.monotonic() > until:
                self._left.remove(left)


async def undialled(connection: AsyncConnection, call_ids: Iterable[str]) -> set[str]:
    """Return those of the open calls that were certainly never sent to the switch."""
    rows = await (await connection.execute(_MARKED, (list(call_ids),))).fetchall()
    return {call_id for (call_id,) in rows}
