"""Counts of callbacks that wait for a phone line."""

from collections.abc import Collection, Mapping

from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement

# One index scan for each line, which ends after as many rows as matter.
_COUNT = statement("""
    SELECT g.line, w.callbacks
    FROM unnest(%s::bigint[]) AS g (line),
        LATERAL (
        SELECT count(*) AS callbacks
        FROM (SELECT FROM {schema}.timetable WHERE b_line = g.line LIMIT %s) AS t
    ) AS w
    WHERE w.callbacks > 0
""")


class PostgresWaitingLines:
    """The port ``WaitingLines`` on Postgres."""

    def __init__(self, reading: Pool) -> None:
        """Read over ``reading``."""
        self._reading = reading

    async def count(self, lines: Collection[int], at_most: int) -> Mapping[int, int]:
        """See the port."""
        async with self._reading.connection() as connection:
            return dict(await (await connection.execute(_COUNT, (list(lines), at_most))).fetchall())
