"""The loop that hangs up calls whose callbacks were deleted."""

from collections.abc import Callable

import structlog

from application.ports.call_gateway import GatewayUnavailable
from infrastructure.dispatch.leadership_term import LeadershipTerm
from infrastructure.postgres.notifications import wait_or_timeout
from infrastructure.postgres.sql import statement

# Round-robin by organisation: an organisation's calls that do not end, although they are hung up repeatedly, delay no others.
_REQUESTED = statement("""
    SELECT call_id::text
    FROM {schema}.open_calls
    WHERE gateway = %s AND hang_up
    ORDER BY row_number() OVER (PARTITION BY organization_id ORDER BY started_at), organization_id
    LIMIT 500
""")

_logger = structlog.get_logger(__name__)


class HangupLoop:
    """Hangs up the calls that ``keep_timetable`` marked, again and again until the end of each is recorded."""

    def __init__(self, term: LeadershipTerm, cancel: Callable[[str], bool]) -> None:
        """Prepare to hang up for as long as the term lasts, but ``cancel`` a call that is not dialled yet."""
        self._term = term
        self._cancel = cancel

    async def run(self) -> None:
        """Hang up until cancelled. Raises StorageUnavailable."""
        while True:
            self._term.hang_up.clear()
            async with self._term.pool.connection() as connection:
                rows = await (await connection.execute(_REQUESTED, (self._term.lease.gateway,))).fetchall()
            for (call_id,) in rows:
                await self._hang_up(call_id)
            await wait_or_timeout(self._term.hang_up)

    async def _hang_up(self, call_id: str) -> None:
        if self._cancel(call_id) or not self._term.lease.permits_command():
            return
        try:
            await self._term.gateway.hang_up(call_id)
        except GatewayUnavailable as error:
            _logger.info("hangup postponed", call_id=call_id, error=str(error))
