"""Queries of views that a rebuild may swap at any moment."""

from typing import Any

from psycopg.errors import DeadlockDetected

from application.errors import StorageUnavailable
from infrastructure.postgres.shared_pool import SharedPool


async def read_view(
    reading: SharedPool, query: bytes, values: dict[str, Any], *, prepare: bool
) -> list[tuple[Any, ...]]:
    """Return the rows of a query of ``values["organization_id"]``. Raises ShareExhausted, StorageUnavailable.

    A cached plan locks its tables in another order than a new plan, so it can deadlock with the swap of a rebuild: then
    the query is retried once.
    """
    try:
        return await _rows(reading, query, values, prepare=prepare)
    except StorageUnavailable as error:
        if not isinstance(error.__cause__, DeadlockDetected):
            raise
        return await _rows(reading, query, values, prepare=prepare)


async def _rows(reading: SharedPool, query: bytes, values: dict[str, Any], *, prepare: bool) -> list[tuple[Any, ...]]:
    async with reading.connection(values["organization_id"]) as connection:
        cursor = await connection.cursor(binary=True).execute(query, values, prepare=prepare)
        return await cursor.fetchall()
