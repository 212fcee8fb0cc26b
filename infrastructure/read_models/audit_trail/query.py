"""Query of audit_trail: pages in the order of the log."""

from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from application.queries.audit_trail import AuditTrailFilter, AuditTrailPage, AuditTrailRow
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.postgres.sql import statement

_COLUMNS = AuditTrailRow.__struct_fields__
_FILTERS = {
    "stream": "stream = %(stream)s",
    "actor": "actor = %(actor)s",
    "type": "type = %(type)s",
}
# Times never run backwards along the positions, so a place in one order is a place in the other. The index of all events is
# in the order of times, the indexes of the filters are in the order of positions.
_BY_TIME = {
    "since": "recorded_at >= %(since)s",
    "until": "recorded_at < %(until)s",
    "after": """(recorded_at, position) > (
            coalesce((
                SELECT recorded_at
                FROM {schema}.audit_trail
                WHERE position <= %(after)s
                ORDER BY position DESC
                LIMIT 1
            ), '-infinity'),
            %(after)s
        )""",
}
_END = (1 << 63) - 1
_FIRST_AT = f"""coalesce((
            SELECT position
            FROM {{schema}}.audit_trail
            WHERE organization_id = %(organization_id)s AND recorded_at >= %(<time>)s
            ORDER BY recorded_at, position
            LIMIT 1
        ), {_END})"""
# Compared as a row: a walk along another index, over the events of other organisations, would not be in this order.
_BY_POSITION = """
    (organization_id, <name>, position) > (%(organization_id)s, %(<name>)s, <from>)
    AND (organization_id, <name>, position) < (%(organization_id)s, %(<name>)s, <until>)
"""
_PAGE = """
    SELECT coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'audit_trail'), 0), found.*
    FROM (SELECT) AS always
    LEFT JOIN (
        SELECT <columns>
        FROM {schema}.audit_trail
        WHERE <condition>
        ORDER BY <order>
        LIMIT %(limit)s
    ) AS found ON true
    ORDER BY found.position
""".replace("<columns>", ", ".join(_COLUMNS))


class PostgresAuditTrail:
    """The port ``AuditTrail`` on Postgres."""

    def __init__(self, reading: SharedPool) -> None:
        """Read over ``reading``."""
        self._reading = reading

    async def page(self, organization_id: int, matching: AuditTrailFilter, *, after: int, limit: int) -> AuditTrailPage:
        """See the port."""
        values: dict[str, Any] = msgspec.structs.asdict(matching) | {"after": after or None}
        query = page_statement({name for name, value in values.items() if value is not None})
        values |= {"organization_id": organization_id, "limit": limit}
        async with self._reading.connection(organization_id) as connection:
            # Not prepared: the best index depends on how many events one stream, actor or type has.
            cursor = await connection.cursor(binary=True).execute(query, values, prepare=False)
            rows = await cursor.fetchall()
        return AuditTrailPage(
            items=[AuditTrailRow(**dict(zip(_COLUMNS, row[1:], strict=True))) for row in rows if row[1] is not None],
            position=rows[0][0],
        )


def page_statement(filters: AbstractSet[str]) -> bytes:
    """Return the statement of a page that is filtered by these fields; ``after`` is one of them."""
    if len(names := [name for name in _FILTERS if name in filters]) == 1:
        condition, order = _position_range(names[0], filters), f"organization_id, {names[0]}, position"
    else:
        chosen = [text for name, text in (_FILTERS | _BY_TIME).items() if name in filters]
        condition, order = " AND ".join(["organization_id = %(organization_id)s", *chosen]), "recorded_at, position"
    return statement(_PAGE.replace("<condition>", condition).replace("<order>", order))


def _position_range(name: str, filters: AbstractSet[str]) -> str:
    """Return the condition of one filter, in the order of its index."""
    since = f"{_FIRST_AT.replace('<time>', 'since')} - 1" if "since" in filters else "0"
    start = f"greatest(%(after)s, {since})" if "after" in filters else since
    until = _FIRST_AT.replace("<time>", "until") if "until" in filters else str(_END)
    return _BY_POSITION.replace("<name>", name).replace("<from>", start).replace("<until>", until)
