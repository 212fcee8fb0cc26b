"""Checkpoints: how far each projection and policy has come in the log.

The row of a checkpoint is also the lock of its handler: the transaction that locks it handles the next batch.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import msgspec
import psycopg
from psycopg import AsyncConnection, sql

from infrastructure.postgres.sql import statement

_CREATE = statement("INSERT INTO {schema}.checkpoints (name) VALUES (%s) ON CONFLICT DO NOTHING")
_LOCK = statement("SELECT position FROM {schema}.checkpoints WHERE name = %s FOR UPDATE")
_TRY_LOCK = _LOCK + b" SKIP LOCKED"
_ADVANCE = statement("UPDATE {schema}.checkpoints SET position = %s, updated_at = now() WHERE name = %s")
# Each text is one message to the server. Parked streams are read after the lock is taken.
_BEGIN_AND_LOCK = """
    BEGIN;
    SET LOCAL synchronous_commit = off;
    SELECT position FROM {schema}.checkpoints WHERE name = <name> FOR UPDATE SKIP LOCKED;
    SELECT EXISTS (SELECT FROM {schema}.parked_streams WHERE name = <name>)
"""
_ADVANCE_AND_COMMIT = """
    UPDATE {schema}.checkpoints SET position = <position>, updated_at = now() WHERE name = <name>;
    COMMIT
"""
_READ = statement("SELECT position FROM {schema}.checkpoints WHERE name = %s")


class LockedCheckpoint(msgspec.Struct):
    """A checkpoint that this transaction holds.

    ``position`` is its position, ``reached`` the one to which the commit moves it; ``has_parked`` is whether streams of
    its handler are parked.
    """

    position: int
    has_parked: bool
    reached: int


@asynccontextmanager
async def batch_transaction(connection: AsyncConnection, name: str) -> AsyncGenerator[LockedCheckpoint | None]:
    """Open a transaction that locks the checkpoint; yield None when another transaction has locked it.

    ``connection`` is in autocommit mode. A new checkpoint starts at 0. The commit moves the checkpoint to ``reached``.
    It does not wait for the disk: a crash of the server may lose derived rows, but then their checkpoint with them.
    """
    cursor = await connection.execute(_named(_BEGIN_AND_LOCK, name))
    try:
        cursor.nextset()
        cursor.nextset()
        row = await cursor.fetchone()
        position = row[0] if row else await try_lock(connection, name)
        cursor.nextset()
        (has_parked,) = await cursor.fetchone() or (True,)
        checkpoint = None if position is None else LockedCheckpoint(position, has_parked, position)
        yield checkpoint
        if checkpoint is None or checkpoint.reached == checkpoint.position:
            await connection.execute(b"COMMIT")
        else:
            await connection.execute(_named(_ADVANCE_AND_COMMIT, name, checkpoint.reached))
    except BaseException:
        with suppress(psycopg.Error):  # the connection is lost: the server has rolled back
            await connection.rollback()
        raise


async def create(connection: AsyncConnection, name: str) -> None:
    """Create the checkpoint at 0, unless it exists."""
    await connection.execute(_CREATE, (name,))


async def try_lock(connection: AsyncConnection, name: str) -> int | None:
    """Lock the checkpoint until the transaction ends, and return its position; None when another transaction holds it.

    A new checkpoint starts at 0.
    """
    row = await (await connection.execute(_TRY_LOCK, (name,))).fetchone()
    if row is None:
        await create(connection, name)
        row = await (await connection.execute(_TRY_LOCK, (name,))).fetchone()
    return row[0] if row else None


async def lock(connection: AsyncConnection, name: str) -> int:
    """Lock the checkpoint until the transaction ends, and return its position; wait while another transaction holds it."""
    row = await (await connection.execute(_LOCK, (name,))).fetchone()
    return row[0] if row else 0


async def advance(connection: AsyncConnection, name: str, position: int) -> None:
    """Move the checkpoint to the position: all events up to it are handled or parked."""
    await connection.execute(_ADVANCE, (position, name))


async def read(connection: AsyncConnection, name: str) -> int:
    """Return the position without a lock; 0 when there is no such checkpoint."""
    row = await (await connection.execute(_READ, (name,))).fetchone()
    return row[0] if row else 0


def _named(text: str, name: str, position: int = 0) -> bytes:
    literal = sql.Literal(name).as_string(None)
    return statement(text.replace("<name>", literal).replace("<position>", str(position)))
