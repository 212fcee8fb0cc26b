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
    "since": "recorded_at >= %(since)s",
    "until": "recorded_at < %(until)s",
    # Times never run backwards along the positions, so a place in one order is a place in the other, and in the index.
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
_PAGE = """
    SELECT coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'audit_trail'), 0), found.*
    FROM (SELECT) AS always
    LEFT JOIN (
        SELECT <columns>
        FROM {schema}.audit_trail
        WHERE organization_id = %(organization_id)s <filter>
        ORDER BY recorded_at, position
        LIMIT %(limit)s
    ) AS found ON true
    ORDER BY found.recorded_at, found.position
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
    conditions = " ".join(f"AND {condition}" for name, condition in _FILTERS.items() if name in filters)
    return statement(_PAGE.replace("<filter>", conditions))
