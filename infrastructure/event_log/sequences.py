"""Ids of new queues and callbacks, drawn from sequences."""

from collections.abc import Sequence

from psycopg import AsyncConnection

from application.ids import SHARD_BITS
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement

SHARD = 1
"""The shard of this database: the low bits of each number drawn here."""

_DRAW = "SELECT array_agg((nextval('{schema}.<sequence>') << %s) | %s) FROM generate_series(1, %s)"
_QUEUES = statement(_DRAW.replace("<sequence>", "queue_numbers"))
_CALLBACKS = statement(_DRAW.replace("<sequence>", "callback_numbers"))


class PostgresIdSequences:
    """The port ``IdSequences`` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        """Draw over ``pool``."""
        self._pool = pool

    async def new_queue_id(self) -> int:
        """See the port."""
        return (await self._draw(_QUEUES, 1))[0]

    async def new_callback_ids(self, count: int) -> Sequence[int]:
        """See the port."""
        return await self._draw(_CALLBACKS, count)

    async def _draw(self, query: bytes, count: int) -> list[int]:
        async with self._pool.connection() as connection:
            return await _draw(connection, query, count)


async def draw_callback_ids(connection: AsyncConnection, count: int) -> list[int]:
    """Draw the ids of ``count`` new callbacks in the connection's transaction, ascending."""
    return await _draw(connection, _CALLBACKS, count) if count else []


async def _draw(connection: AsyncConnection, query: bytes, count: int) -> list[int]:
    cursor = await connection.cursor(binary=True).execute(query, (SHARD_BITS, SHARD, count), prepare=True)
    row = await cursor.fetchone()
    return row[0] if row else []
