"""Read model of calls: the index from a call to the attempt that started it."""

from typing import Protocol
from uuid import UUID

import msgspec


class Dialled(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt of a callback for which a call was started."""

    callback_id: int
    attempt: int


class CallIndex(Protocol):
    """The index of calls: the attempt of each call."""

    async def find(self, call_id: UUID, organization_id: int) -> Dialled | None:
        """Return the attempt of a call, None if the organisation has no such call. Raises StorageUnavailable.

        A call is found from its start, permanently. While the view ``call_history`` lags by more than a second, a call that
        has ended but is not in the view yet is not found.
        """
        ...
