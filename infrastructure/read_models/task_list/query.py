"""Query of task_list: rows, total and log position in one statement, so that they are of one snapshot.

One statement also makes a page safe from the swap of a rebuild: it takes its locks before its snapshot.
"""

import re
from collections.abc import Set as AbstractSet
from typing import Any

from application.queries.task_list import TaskListFilter, TaskPage, TaskRow
from domain.errors import InvalidField
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.postgres.sql import statement
from infrastructure.read_models.task_list.folding import fold
from infrastructure.read_models.task_list.grams import search_grams
from infrastructure.read_models.view_reader import read_view

COUNTED = 10_000

_COLUMNS = TaskRow.__struct_fields__
FILTERS = {
    "status": "status = %(status)s",
    "task_type": "task_type = %(task_type)s",
    "priority": "priority = %(priority)s",
    "assigned_user_id": "assigned_user_id = %(assigned_user_id)s AND assigned_user_id <> ''",
    "caller_phone": "caller_phone = %(caller_phone)s",
    "search": "title_folded LIKE %(search)s",
    # Not the collation of the trigrams' index: it would be read as a whole, and then the whole table.
    "short_search": 'title_grams @> %(grams)s::int[] AND title_folded COLLATE "C" LIKE %(short_search)s',
}
_TRIGRAM = re.compile(r"[^\W_]{3}")
_COUNTING = frozenset({"search", "short_search", "caller_phone"})

_KNOWN = "SELECT a.created_at FROM {schema}.task_list AS a WHERE a.id = %(after)s AND a.organization_id = %(organization_id)s"
_AFTER = f"AND (created_at, id) < (({_KNOWN}), %(after)s)"

# Bounds come from subqueries, so that Postgres sees no difference between one page and another: it plans once and keeps
# the plan. The shape of the statement says what it cannot know of them: walk this index, look up those rows.
_SPAN = """
    span AS (
        SELECT greatest(least(%(limit)s::bigint, total - %(offset)s::bigint), 0) AS length,
            %(offset)s::bigint AS before,
            greatest(total - %(offset)s::bigint - %(limit)s::bigint, 0) AS behind
        FROM counted
    )
"""

# Without filters: a walk along an index, from the nearer end, or from the task after which the page begins.
_WALK = f"""
    counted AS (
        SELECT coalesce(sum(count), 0)::bigint AS total
        FROM {{schema}}.task_counts
        WHERE organization_id = %(organization_id)s <status> <assignee of counts>
    ), {_SPAN}, chosen AS (
        (
            SELECT id, created_at
            FROM {{schema}}.task_list
            WHERE organization_id = %(organization_id)s <status> <after>
            ORDER BY created_at DESC, id DESC
            LIMIT (SELECT CASE WHEN before <= behind THEN length ELSE 0 END FROM span)
            OFFSET (SELECT before FROM span)
        )
        UNION ALL
        (
            SELECT id, created_at
            FROM {{schema}}.task_list
            WHERE organization_id = %(organization_id)s <status>
            ORDER BY created_at, id
            LIMIT (SELECT CASE WHEN before > behind THEN length ELSE 0 END FROM span)
            OFFSET (SELECT behind FROM span)
        )
    )
"""

# With filters: the newest tasks of each kind that passes them. A page costs its rows and those before it for each of at
# most 120 kinds, however many tasks there are.
_KINDS = f"""
    kinds AS (
        SELECT status, task_type, priority, count
        FROM {{schema}}.task_counts
        WHERE organization_id = %(organization_id)s AND count > 0 <status> <assignee of counts> <filter>
    ), counted AS (
        SELECT coalesce(sum(count), 0)::bigint AS total FROM kinds
    ), {_SPAN}, chosen AS (
        SELECT t.id, t.created_at
        FROM kinds AS k
        CROSS JOIN LATERAL (
            SELECT id, created_at
            FROM {{schema}}.task_list
            WHERE organization_id = %(organization_id)s
                AND status = k.status
                AND task_type = k.task_type
                AND priority = k.priority
                <assignee>
                <after>
            ORDER BY created_at DESC, id DESC
            LIMIT (SELECT CASE WHEN length > 0 THEN before + length ELSE 0 END FROM span)
        ) AS t
        ORDER BY t.created_at DESC, t.id DESC
        LIMIT (SELECT length FROM span)
        OFFSET (SELECT before FROM span)
    )
"""

# With a search: matches are fetched once and counted, up to a bound. Beyond the bound, matches are so frequent that a
# walk from the newest task on soon fills the page. The best plan depends on the text that is searched for.
_SEARCH = f"""
    found AS MATERIALIZED (
        SELECT id, created_at
        FROM {{schema}}.task_list
        WHERE organization_id = %(organization_id)s <status> <filter>
        LIMIT {COUNTED + 1}
    ), counted AS (
        SELECT count(*) AS total FROM found
    ), chosen AS (
        (
            SELECT id, created_at
            FROM found
            WHERE (SELECT total FROM counted) <= {COUNTED} <after>
            ORDER BY created_at DESC, id DESC
            LIMIT %(limit)s::bigint
            OFFSET %(offset)s::bigint
        )
        UNION ALL
        (
            SELECT id, created_at
            FROM {{schema}}.task_list
            WHERE (SELECT total FROM counted) > {COUNTED}
                AND organization_id = %(organization_id)s <status> <filter> <after>
            ORDER BY created_at DESC, id DESC
            LIMIT %(limit)s::bigint
            OFFSET %(offset)s::bigint
        )
    )
"""

_PAGE = """
    WITH <parts>
    SELECT
        counted.total,
        coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'task_list'), 0),
        <known>,
        t.*
    FROM counted
    LEFT JOIN (
        chosen
        CROSS JOIN LATERAL (
            SELECT <columns>, (
                SELECT m.name
                FROM {schema}.members AS m
                WHERE m.id = l.assigned_user_id AND m.organization_id = %(organization_id)s
            )
            FROM {schema}.task_list AS l
            WHERE l.id = chosen.id AND l.organization_id = %(organization_id)s
            LIMIT 1
        ) AS t
    ) ON true
    ORDER BY t.created_at DESC, t.id DESC
""".replace("<columns>", ", ".join(f"l.{name}" for name in _COLUMNS[:-1]))


class PostgresTaskList:
    """The port ``TaskList`` on Postgres."""

    def __init__(self, reading: SharedPool, searching: SharedPool) -> None:
        """Read over ``reading``, but search over ``searching``: searches take no places of lists."""
        self._reading = reading
        self._searching = searching

    async def page(
        self,
        organization_id: int,
        matching: TaskListFilter,
        *,
        page: int = 1,
        after: str | None = None,
        per_page: int,
    ) -> TaskPage:
        """See the port.

        The total is exact without ``search`` and ``caller_phone``; with one of them it is counted up to 10,000.
        A ``search`` of fewer than three letters or digits in a row uses the index of single and paired characters.
        """
        values: dict[str, Any] = {name: getattr(matching, name, None) for name in FILTERS}
        if matching.search is not None:
            folded = fold(matching.search)
            kind = "search" if _TRIGRAM.search(folded) else "short_search"
            values |= {"search": None, kind: f"%{_escaped(folded)}%", "grams": search_grams(organization_id, folded)}
        values["after"] = after
        filters = {name for name, value in values.items() if value is not None} - {"grams"}
        values |= {"organization_id": organization_id, "limit": per_page + 1, "offset": (page - 1) * per_page}
        query = page_statement(filters, include_cancelled=matching.include_cancelled)
        searching = not filters.isdisjoint(_COUNTING)
        pool = self._searching if searching else self._reading
        rows = await read_view(pool, query, values, prepare=not searching)
        total, position, is_known = rows[0][:3]
        if not is_known:
            raise InvalidField("after", "Expected the id of a task of the organisation")
        exact = total <= COUNTED or not searching
        items = [TaskRow(**dict(zip(_COLUMNS, row[3:], strict=True))) for row in rows if row[3] is not None]
        return TaskPage(
            items=items[:per_page],
            has_next=len(items) > per_page,
            total=total if exact else COUNTED,
            total_is_exact=exact,
            position=position,
        )


def page_statement(filters: AbstractSet[str], *, include_cancelled: bool) -> bytes:
    """Return the statement of a page that is filtered by these fields; ``after`` is one of them."""
    parts = _SEARCH if filters & _COUNTING else _KINDS if filters - {"after"} else _WALK
    fragments = {
        "<status>": "" if include_cancelled or "status" in filters else "AND status <> 'cancelled'",
        "<assignee of counts>": "" if "assigned_user_id" in filters else "AND assigned_user_id = ''",
        "<assignee>": "AND assigned_user_id = %(assigned_user_id)s" if "assigned_user_id" in filters else "",
        "<after>": _AFTER if "after" in filters else "",
        "<known>": f"EXISTS ({_KNOWN})" if "after" in filters else "true",
        "<filter>": " ".join(f"AND {condition}" for name, condition in FILTERS.items() if name in filters),
    }
    text = _PAGE.replace("<parts>", parts)
    for placeholder, fragment in fragments.items():
        text = text.replace(placeholder, fragment)
    return statement(text)


def _escaped(text: str) -> str:
    """Return the LIKE pattern that matches the text itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
