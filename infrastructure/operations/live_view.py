"""Live views, as a rebuild sees them: how far a view has come in the log, and how to hold it there."""

from typing import Protocol

from psycopg import AsyncConnection

from infrastructure.postgres.sql import statement
from infrastructure.subscriptions import checkpoints

_HEAD = statement("SELECT coalesce(max(notification_id), 0) FROM {log}")
_HOLD_DIRECTORY = statement("LOCK TABLE {schema}.organizations IN SHARE ROW EXCLUSIVE MODE")


class LiveView(Protocol):
    """The live tables of a view."""

    async def read(self, connection: AsyncConnection) -> int:
        """Return the log position that the view has reached, without a lock."""
        ...

    async def hold(self, connection: AsyncConnection) -> int:
        """Hold the view at its position until the transaction ends, and return the position."""
        ...


class CheckpointedView:
    """A view that a worker keeps up, at the position of its checkpoint."""

    def __init__(self, name: str) -> None:
        """Use the checkpoint of that name."""
        self._name = name

    async def read(self, connection: AsyncConnection) -> int:
        """See the protocol."""
        await checkpoints.create(connection, self._name)
        return await checkpoints.read(connection, self._name)

    async def hold(self, connection: AsyncConnection) -> int:
        """See the protocol."""
        return await checkpoints.lock(connection, self._name)


class InlineDirectory:
    """The access directory, which is written together with its events: it is always at the head of the log.

    To hold it stops changes of access, and nothing else: ``record_access`` takes the same lock before that of the log.
    """

    async def read(self, connection: AsyncConnection) -> int:
        """See the protocol."""
        (head,) = await (await connection.execute(_HEAD)).fetchone() or (0,)
        return head

    async def hold(self, connection: AsyncConnection) -> int:
        """See the protocol."""
        await connection.execute(_HOLD_DIRECTORY)
        return await self.read(connection)
