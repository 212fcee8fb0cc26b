"""Read-your-writes: lists wait until their view shows the changes that were made before the request."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Protocol, TypeVar

import msgspec
from msgspec import Meta

from interfaces.api.web.context import RequestContext
from interfaces.api.web.field_types import POSITION_MAX

_WAIT_SECONDS = 1.0


class PositionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The header ``Perezvon-Position`` of a list request."""

    position: Annotated[
        int,
        Meta(
            ge=0,
            le=POSITION_MAX,
            description="A log position from an earlier response. The request waits up to one second for the list to"
            " reach it.",
        ),
    ] = msgspec.field(name="Perezvon-Position", default=0)


class Positioned(Protocol):
    """A page of a view."""

    @property
    def position(self) -> int:
        """The log position that the page shows."""
        ...


P = TypeVar("P", bound=Positioned)


async def read_after_writes(
    context: RequestContext, view: str, position: int, fetch: Callable[[], Awaitable[P]], *, also: Sequence[str] = ()
) -> P:
    """Fetch a page that shows the log position and this process's changes of the caller's organisation.

    Waits at most one second for the view, and for the views of ``also``, which the page shows too. After that it returns
    the page with an older position. A page that the view cannot show yet is not fetched in vain.
    """
    api = context.api
    awaited = max(position, api.written_positions.latest(context.organization_id))
    has_waited = api.shown_positions.get(view, 0) < awaited
    if has_waited:
        await _wait(context, awaited, view, *also)
    page = await fetch()
    if page.position < awaited and not has_waited:  # a rebuild may have set the view back
        await _wait(context, awaited, view, *also)
        page = await fetch()
    api.shown_positions[view] = page.position
    return page


async def _wait(context: RequestContext, awaited: int, *views: str) -> None:
    wait_for = context.api.services.views.wait_for
    await asyncio.gather(*(wait_for(name, awaited, _WAIT_SECONDS) for name in views))
