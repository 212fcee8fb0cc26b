"""Pages of lists, by page number or after an id; a ``Link`` header names the next page (RFC 8288)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from domain.limits import HISTORY_PAGE_MAX
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.field_types import NUMBER_MAX
from interfaces.api.web.read_your_writes import PositionQuery
from interfaces.api.web.request_errors import FieldError, InvalidRequest

ROWS_MAX = 1_000

_PER_PAGE = 20


class ListQuery(PositionQuery, frozen=True, kw_only=True):
    """The page of a list: ``page`` and ``per_page``, or ``after`` and ``limit``. Without any, the first 1,000 items."""

    page: Annotated[int, Meta(ge=1, le=1_000_000, description="Page number, from 1.")] | None = None
    per_page: Annotated[int, Meta(ge=1, le=ROWS_MAX, description="Items of a page; default 20.")] | None = None
    after: Annotated[int, Meta(ge=0, le=NUMBER_MAX, description="Only items with a greater id.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=ROWS_MAX, description="Maximum number of items; default 1,000.")] | None = None


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The page of a history."""

    after: Annotated[int, Meta(ge=0, le=NUMBER_MAX, description="Only events after this version.")] = 0
    limit: Annotated[
        int,
        Meta(ge=1, le=HISTORY_PAGE_MAX, description="Maximum number of events; fewer are returned if they are large."),
    ] = HISTORY_PAGE_MAX


class Numbered(Protocol):
    """A row of a list."""

    @property
    def id(self) -> int:
        """Its number."""
        ...


R = TypeVar("R", bound=Numbered)


class ListSlice(NamedTuple):
    """A slice of a list: at most ``limit`` rows with an id above ``after``, without the first ``offset`` of them.

    ``page`` is the page number, None if the slice was requested by ``after`` and ``limit``.
    """

    after: int
    offset: int
    limit: int
    page: int | None


def requested_slice(query: ListQuery) -> ListSlice:
    """Return the slice that the query requests. Raises InvalidRequest if it is requested in both ways."""
    is_by_page = query.page is not None or query.per_page is not None
    by_id = {"after": query.after, "limit": query.limit}
    if is_by_page and (given := [name for name, value in by_id.items() if value is not None]):
        message = "Expected either page and per_page, or after and limit, not both"
        raise InvalidRequest([FieldError(("query", name), message, "value_error") for name in given])
    if is_by_page:
        page, per_page = query.page or 1, query.per_page or _PER_PAGE
        return ListSlice(0, (page - 1) * per_page, per_page, page)
    return ListSlice(query.after or 0, 0, query.limit or ROWS_MAX, None)


def cut_slice(
    request: AnyRequest, requested: ListSlice, rows: Sequence[R], **filters: str | None
) -> tuple[Sequence[R], dict[str, str]]:
    """Return the rows of the slice, and the ``Link`` header of the next one if ``rows`` has one row more."""
    if len(rows) <= requested.limit:
        return rows, {}
    rows = rows[: requested.limit]
    following = (
        {"after": rows[-1].id, "limit": requested.limit}
        if requested.page is None
        else {"page": requested.page + 1, "per_page": requested.limit}
    )
    return rows, next_link(request, filters | following)


def next_link(request: AnyRequest, query: Mapping[str, str | int | None]) -> dict[str, str]:
    """Return the ``Link`` header to the next page, which has this query, without the parameters that are None."""
    path = context_of(request).api.settings.path_prefix + quote(request.scope["path"])
    given = {name: value for name, value in query.items() if value is not None}
    return {"Link": f'<{path}?{urlencode(given)}>; rel="next"'}
