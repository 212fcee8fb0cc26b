"""The request that the current task sends: what the connector's hooks need to know about it."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar


class OutgoingRequest:
    """A request of an organisation within its time limit."""

    def __init__(self, organization_id: int, deadline: asyncio.Timeout) -> None:
        """Describe a request; ``deadline`` ends it."""
        self.organization_id = organization_id
        self.has_connected = False
        """Whether a connection was opened for it; otherwise it was sent over one that had been used before."""
        self.succeeded_with: int | None = None
        """The status 2xx of a status line that has arrived, perhaps without the rest of the response."""
        self._deadline = deadline

    @contextmanager
    def paused_deadline(self) -> Generator[None]:
        """Stop the clock of the request while it waits for a place."""
        now = asyncio.get_running_loop().time
        began, when = now(), self._deadline.when()
        self._deadline.reschedule(None)
        try:
            yield
        finally:
            if when is not None:
                self._deadline.reschedule(when + now() - began)


CURRENT: ContextVar[OutgoingRequest] = ContextVar("outgoing webhook request")
