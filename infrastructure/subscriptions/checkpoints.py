"""Where each projection and policy stands. Whoever holds the row in a transaction leads: there is no other lock."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import msgspec
import psycopg
from psycopg import AsyncConnection, sql

from infrastructure.postgres.sql import statement

_BEGIN = statement("INSERT INTO {schema}.checkpoints (name) VALUES (%s) ON CONFLICT DO NOTHING")
_HOLD = statement("SELECT position FROM {schema}.checkpoints WHERE name = %s FOR UPDATE")
_TAKE = _HOLD + b" SKIP LOCKED"
_MOVE = statement("UPDATE {schema}.checkpoints SET position = %s, updated_at = now() WHERE name = %s")
# Each in one message to the server. What is parked is seen as of after the lock was taken.
_LEAD = (
    "BEGIN; SET LOCAL synchronous_commit = off;"
    " SELECT position FROM {schema}.checkpoints WHERE name = <name> FOR UPDATE SKIP LOCKED;"
    " SELECT EXISTS (SELECT FROM {schema}.parked_streams WHERE name = <name>)"
)
_MOVE_AND_COMMIT = (
    "UPDATE {schema}.checkpoints SET position = <position>, updated_at = now() WHERE name = <name>; COMMIT"
)
_READ = statement("SELECT position FROM {schema}.checkpoints WHERE name = %s")


class Lead(msgspec.Struct):
    """Where the leader finds the checkpoint, whether streams are parked, and where the leader wants the checkpoint."""

    position: int
    has_parked: bool
    reached: int


@asynccontextmanager
async def leading(connection: AsyncConnection, name: str) -> AsyncGenerator[Lead | None]:
    """Lead for a transaction on an autocommit connection; None when another leads. A new checkpoint begins at 0.

    At the end the checkpoint moves to ``reached``. What is derived may be lost with the server's last moments, for its
    checkpoint is lost with it: the commit does not wait for the disk.
    """
    cursor = await connection.execute(_named(_LEAD, name))
    try:
        cursor.nextset()
        cursor.nextset()
        row = await cursor.fetchone()
        position = row[0] if row else await take(connection, name)
        cursor.nextset()
        (has_parked,) = await cursor.fetchone() or (True,)
        lead = None if position is None else Lead(position, has_parked, position)
        yield lead
        if lead is None or lead.reached == lead.position:
            await connection.execute(b"COMMIT")
        else:
            await connection.execute(_named(_MOVE_AND_COMMIT, name, lead.reached))
    except BaseException:
        with suppress(psycopg.Error):  # a lost connection: the server has done it
            await connection.rollback()
        raise


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


def _named(text: str, name: str, position: int = 0) -> bytes:
    literal = sql.Literal(name).as_string(None)
    return statement(text.replace("<name>", literal).replace("<position>", str(position)))
