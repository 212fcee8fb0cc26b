"""Query of callback_list: pages with total and log position."""

from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from application.headroom import Usage
from application.queries.callback_list import CallbackListFilter, CallbackPage, CallbackRow
from domain.callback.callback import Status
from domain.callback.events import FinishResult
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.postgres.sql import load_statement, statement
from infrastructure.read_models.view_reader import read_view

_COLUMNS = CallbackRow.__struct_fields__
_FILTERS = {
    "after": "AND id > %(after)s",
    "status": "AND status = %(status)s",
    "finish_result": "AND finish_result = %(finish_result)s",
}
_UNFINISHED = (Status.SCHEDULED, Status.EXECUTED, Status.DELAYED)

# Rows, total and log position are read in one statement, as in task_list. It walks an index from the nearer end; with
# ``after`` it walks forward from that id. Bounds come from subqueries, so that Postgres sees no difference between one
# page and another: it plans once and keeps the plan.
_PAGE = load_statement(__name__, "page.sql").replace(b"<columns>", ", ".join(f"l.{name}" for name in _COLUMNS).encode())
# One row for each queue that ever had a callback.
WAITING = statement("""
    SELECT coalesce(sum(scheduled + delayed), 0)::bigint,
        coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'callback_list'), 0)
    FROM {schema}.callback_counts
    WHERE organization_id = %(organization_id)s AND NOT queue_is_deleted
""")
_SPANS = {
    False: (
        "greatest(least(%(limit)s::bigint, total - %(offset)s::bigint), 0)",
        "greatest(total - %(offset)s::bigint - %(limit)s::bigint, 0)",
    ),
    # The callbacks before the id are not counted.
    True: ("least(%(limit)s::bigint, total)", "9223372036854775807"),
}


class PostgresCallbackList:
    """The port ``CallbackList`` on Postgres."""

    def __init__(self, reading: SharedPool) -> None:
        """Read over ``reading``."""
        self._reading = reading

    async def page(
        self,
        organization_id: int,
        queue_id: int,
        matching: CallbackListFilter,
        *,
        after: int = 0,
        offset: int = 0,
        limit: int,
    ) -> CallbackPage:
        """See the port."""
        values: dict[str, Any] = msgspec.structs.asdict(matching) | {"after": after or None}
        query = page_statement({name for name, value in values.items() if value is not None}, matching)
        values |= {"organization_id": organization_id, "queue_id": queue_id, "offset": offset, "limit": limit}
        rows = await read_view(self._reading, query, values, prepare=True)
        return CallbackPage(
            items=[CallbackRow(**dict(zip(_COLUMNS, row[2:], strict=True))) for row in rows if row[2] is not None],
            total=rows[0][0],
            position=rows[0][1],
        )

    async def waiting(self, organization_id: int) -> Usage:
        """See the port."""
        rows = await read_view(self._reading, WAITING, {"organization_id": organization_id}, prepare=True)
        return Usage(*rows[0])


def page_statement(filters: AbstractSet[str], matching: CallbackListFilter) -> bytes:
    """Return the statement of a page that is filtered by these fields; ``after`` is one of them."""
    length, behind = _SPANS["after" in filters]
    fragments = {
        "<counts>": " + ".join(_counts(matching)) or "0",
        "<length>": length,
        "<behind>": behind,
        "<filter>": " ".join(condition for name, condition in _FILTERS.items() if name in filters),
    }
    query = _PAGE
    for placeholder, fragment in fragments.items():
        query = query.replace(placeholder.encode(), fragment.encode())
    return query


def _counts(matching: CallbackListFilter) -> list[str]:
    """Return the columns of callback_counts whose sum is the total of the filter."""
    unfinished = [status.value for status in _UNFINISHED if matching.status in {None, status}]
    finished = [result.value for result in FinishResult if matching.finish_result in {None, result}]
    return [
        *(unfinished if matching.finish_result is None else []),
        *(finished if matching.status in {None, Status.FINISHED} else []),
    ]
