"""Lists that show what was written before they were asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from interfaces.api.web.context import RequestContext

_WAIT_SECONDS = 1.0


class Positioned(Protocol):
    """A page of a view."""

    @property
    def position(self) -> int:
        """The log position that it shows."""
        ...


P = TypeVar("P", bound=Positioned)


async def read_after_writes(
    context: RequestContext, view: str, position: int, page: Callable[[], Awaitable[P]], *, also: Sequence[str] = ()
) -> P:
    """Answer the page as of the log position, and of what this process wrote for the caller's organisation.

    Waits at most a second for the view, and for those that it also shows; then the page is as the view has it, and tells its position.
    """
    found = await page()
    awaited = max(position, context.api.written.position(context.member.organization_id))
    if found.position < awaited:
        wait_for = context.api.services.views.wait_for
        await asyncio.gather(*(wait_for(name, awaited, _WAIT_SECONDS) for name in (view, *also)))
        found = await page()
    return found
