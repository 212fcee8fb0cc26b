"""Where each projection stands. Whoever holds the row in a transaction leads: there is no other lock."""

from psycopg import AsyncConnection

from infrastructure.statements import statement

_BEGIN = statement("INSERT INTO {schema}.checkpoints (name) VALUES (%s) ON CONFLICT DO NOTHING")
_HOLD = statement("SELECT position FROM {schema}.checkpoints WHERE name = %s FOR UPDATE")
_TAKE = _HOLD + b" SKIP LOCKED"
_MOVE = statement("UPDATE {schema}.checkpoints SET position = %s, updated_at = now() WHERE name = %s")
_READ = statement("SELECT position FROM {schema}.checkpoints WHERE name = %s")


async def begin(connection: AsyncConnection, name: str) -> None:
    """Make the checkpoint, at 0, if it is not there yet."""
    await connection.execute(_BEGIN, (name,))


async def take(connection: AsyncConnection, name: str) -> int | None:
    """Answer the position and lead until the transaction ends; None when another leads. A new one begins at 0."""
    row = await (await connection.execute(_TAKE, (name,))).fetchone()
    if row is None:
        await begin(connection, name)
        row = await (await connection.execute(_TAKE, (name,))).fetchone()
    return row[0] if row else None


async def hold(connection: AsyncConnection, name: str) -> int:
    """Answer the position and lead until the transaction ends; waits for another that leads."""
    row = await (await connection.execute(_HOLD, (name,))).fetchone()
    return row[0] if row else 0


async def move(connection: AsyncConnection, name: str, position: int) -> None:
    """Note that all up to the position is folded or parked."""
    await connection.execute(_MOVE, (position, name))


async def read(connection: AsyncConnection, name: str) -> int:
    """Answer the position, without leading."""
    row = await (await connection.execute(_READ, (name,))).fetchone()
    return row[0] if row else 0
