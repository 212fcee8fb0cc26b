"""Reading parts of callback_list: rows, total and position in one statement, as in task_list_query."""

from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from application.queries.callback_list import CallbackListFilter, CallbackPage, CallbackRow
from domain.callback.callback import Status
from domain.callback.events import FinishResult
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement
from infrastructure.read_models.view_reader import read_view

_COLUMNS = CallbackRow.__struct_fields__
_FILTERS = {
    "after": "AND id > %(after)s",
    "status": "AND status = %(status)s",
    "finish_result": "AND finish_result = %(finish_result)s",
}
_UNFINISHED = (Status.SCHEDULED, Status.EXECUTED, Status.DELAYED)

# A walk along an index from whichever end is nearer; what is behind a given id is walked from there on. Bounds come from
# sub-queries, so that Postgres sees no difference between one page and another, plans once, and keeps the plan.
_PAGE = """
WITH counted AS (
    SELECT coalesce(sum(<counts>), 0)::bigint AS total FROM {schema}.callback_counts
    WHERE queue_id = %(queue_id)s AND organization_id = %(organization_id)s AND NOT queue_is_deleted
), span AS (
    SELECT <length> AS length, %(offset)s::bigint AS before, <behind> AS behind FROM counted
), chosen AS (
    (SELECT id FROM {schema}.callback_list WHERE queue_id = %(queue_id)s AND NOT is_deleted <filtering> ORDER BY id
     LIMIT (SELECT CASE WHEN before <= behind THEN length ELSE 0 END FROM span) OFFSET (SELECT before FROM span))
    UNION ALL
    (SELECT id FROM {schema}.callback_list WHERE queue_id = %(queue_id)s AND NOT is_deleted <filtering> ORDER BY id DESC
     LIMIT (SELECT CASE WHEN before > behind THEN length ELSE 0 END FROM span) OFFSET (SELECT behind FROM span))
)
SELECT counted.total, coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'callback_list'), 0), c.*
FROM counted LEFT JOIN (
    chosen CROSS JOIN LATERAL (
        SELECT <columns> FROM {schema}.callback_list AS l
        WHERE l.id = chosen.id AND l.organization_id = %(organization_id)s LIMIT 1
    ) AS c
) ON true
ORDER BY c.id""".replace("<columns>", ", ".join(f"l.{name}" for name in _COLUMNS))
_SPANS = {
    False: (
        "greatest(least(%(limit)s::bigint, total - %(offset)s::bigint), 0)",
        "greatest(total - %(offset)s::bigint - %(limit)s::bigint, 0)",
    ),
    # How many come before the id nobody has counted.
    True: ("least(%(limit)s::bigint, total)", "9223372036854775807"),
}


class PostgresCallbackList:
    """The port ``CallbackList`` on Postgres."""

    def __init__(self, reading: Pool) -> None:
        """Read over ``reading``."""
        self._reading = reading

    async def page(
        self,
        organization_id: int,
        queue_id: int,
        wanted: CallbackListFilter,
        *,
        after: int = 0,
        offset: int = 0,
        limit: int,
    ) -> CallbackPage:
        """See the port."""
        values: dict[str, Any] = msgspec.structs.asdict(wanted) | {"after": after or None}
        query = page_statement({name for name, value in values.items() if value is not None}, wanted)
        values |= {"organization_id": organization_id, "queue_id": queue_id, "offset": offset, "limit": limit}
        rows = await read_view(self._reading, query, values, prepare=True)
        return CallbackPage(
            items=[CallbackRow(**dict(zip(_COLUMNS, row[2:], strict=True))) for row in rows if row[2] is not None],
            total=rows[0][0],
            position=rows[0][1],
        )


def page_statement(filters: AbstractSet[str], wanted: CallbackListFilter) -> bytes:
    """Answer the statement of a page that is filtered by these fields, ``after`` one of them."""
    length, behind = _SPANS["after" in filters]
    fragments = {
        "<counts>": " + ".join(_counts(wanted)) or "0",
        "<length>": length,
        "<behind>": behind,
        "<filtering>": " ".join(condition for name, condition in _FILTERS.items() if name in filters),
    }
    text = _PAGE
    for mark, fragment in fragments.items():
        text = text.replace(mark, fragment)
    return statement(text)


def _counts(wanted: CallbackListFilter) -> list[str]:
    """Answer the columns of callback_counts that count what is wanted."""
    unfinished = [status.value for status in _UNFINISHED if wanted.status in {None, status}]
    finished = [result.value for result in FinishResult if wanted.finish_result in {None, result}]
    return [
        *(unfinished if wanted.finish_result is None else []),
        *(finished if wanted.status in {None, Status.FINISHED} else []),
    ]
