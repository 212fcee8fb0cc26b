"""Read model of calls: the index from a call to the attempt that started it."""

from typing import Protocol
from uuid import UUID

import msgspec


class Dialled(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt of a callback for which a call was started."""

    callback_id: int
    attempt: int


class CallIndex(Protocol):
    """Whose attempt a call is."""

    async def find(self, call_id: UUID, organization_id: int) -> Dialled | None:
        """Answer the attempt, if the organisation has that call. Raises StorageUnavailable.

        A call is found from its start on, and for ever; while the view ``call_history`` is more than a second behind,
        one that it does not show yet is missed once it has ended.
        """
        ...
