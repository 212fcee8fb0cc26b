"""Hanging up calls whose callbacks were deleted."""

import structlog

from application.ports.call_gateway import GatewayDown
from infrastructure.dispatch.call_placer import Placing
from infrastructure.dispatch.leadership_term import Term
from infrastructure.postgres.notifications import woken
from infrastructure.postgres.sql import statement

_WANTED = statement("SELECT call_id::text FROM {schema}.open_calls WHERE gateway = %s AND hang_up LIMIT 500")

_logger = structlog.get_logger(__name__)


class HangingUp:
    """Hangs up what ``keep_timetable`` marked, again and again until the call's end is on record."""

    def __init__(self, term: Term, placing: Placing) -> None:
        """Hang up for as long as the term lasts."""
        self._term = term
        self._placing = placing

    async def run(self) -> None:
        """Hang up until cancelled. Raises StorageUnavailable."""
        while True:
            self._term.hang_up.clear()
            async with self._term.pool.connection() as connection:
                rows = await (await connection.execute(_WANTED, (self._term.lease.gateway,))).fetchall()
            for (call_id,) in rows:
                await self._hang_up(call_id)
            await woken(self._term.hang_up)

    async def _hang_up(self, call_id: str) -> None:
        if self._placing.give_up(call_id) or not self._term.lease.may_speak():
            return
        try:
            await self._term.gateway.hang_up(call_id)
        except GatewayDown as error:
            _logger.info("cannot hang up now", call_id=call_id, error=str(error))
