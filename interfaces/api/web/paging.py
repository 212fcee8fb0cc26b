"""Parts of the lists of contract 2: by page, or after an id; the next one is named in a Link header (RFC 8288)."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlencode

from interfaces.api.routes.queue_bodies import ROWS_MAX, QueueListQuery
from interfaces.api.web.context import AnyRequest
from interfaces.api.web.request_errors import FieldError, InvalidRequest

_PER_PAGE = 20


class Numbered(Protocol):
    """A row of a list."""

    @property
    def id(self) -> int:
        """Its number."""
        ...


R = TypeVar("R", bound=Numbered)


class Part(NamedTuple):
    """Which part of a list is asked for: at most ``limit`` rows above the id ``after``, without the first ``offset``."""

    after: int
    offset: int
    limit: int
    page: int | None


def part_of(asked: QueueListQuery) -> Part:
    """Answer the part that is asked for. Raises RequestInvalid when it is asked for in both ways."""
    paged = asked.page is not None or asked.per_page is not None
    followed = {"after": asked.after, "limit": asked.limit}
    if paged and (given := [name for name, value in followed.items() if value is not None]):
        raise InvalidRequest(
            [
                FieldError(("query", name), "Either page and per_page, or after and limit", "value_error")
                for name in given
            ]
        )
    if paged:
        page, per_page = asked.page or 1, asked.per_page or _PER_PAGE
        return Part(0, (page - 1) * per_page, per_page, page)
    return Part(asked.after or 0, 0, asked.limit or ROWS_MAX, None)


def cut(
    request: AnyRequest, part: Part, rows: Sequence[R], **filters: str | None
) -> tuple[Sequence[R], dict[str, str]]:
    """Answer the part's rows, and the header that names the next part if ``rows`` has one more than the part."""
    if len(rows) <= part.limit:
        return rows, {}
    rows = rows[: part.limit]
    following = (
        {"after": rows[-1].id, "limit": part.limit}
        if part.page is None
        else {"page": part.page + 1, "per_page": part.limit}
    )
    query = urlencode({name: value for name, value in filters.items() if value is not None} | following)
    return rows, {"Link": f'<{quote(request.scope["path"])}?{query}>; rel="next"'}
