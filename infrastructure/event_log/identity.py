"""The ids of the log, and the positions from which each is in force."""

from collections.abc import Sequence
from uuid import UUID

from psycopg import AsyncConnection

from infrastructure.postgres.sql import statement

_READ_IDENTITY = statement("SELECT since_position, id FROM {schema}.log_identity")


class LogIdentity:
    """The log's id at each position. After a restore the operator adds a new id (docs/adr/0003-event-ids-are-derived.md)."""

    def __init__(self, rows: Sequence[tuple[int, UUID]]) -> None:
        """Take the rows of ``log_identity``."""
        self._newest_first = sorted(rows, reverse=True)
        self._newest = self._newest_first[0]

    def at(self, position: int) -> UUID:
        """Return the log's id at the position."""
        if position >= self._newest[0]:
            return self._newest[1]
        return next(log_id for since, log_id in self._newest_first if since <= position)


async def read_identity(connection: AsyncConnection) -> LogIdentity:
    """Read the log's ids."""
    return LogIdentity(await (await connection.execute(_READ_IDENTITY)).fetchall())
