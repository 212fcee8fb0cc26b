"""Query of a call: in the view call_history or, while it runs, in the dispatcher's open calls."""

from uuid import UUID

from application.queries.call_history import Dialled
from application.queries.view_lag import ViewLag
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.postgres.sql import statement
from infrastructure.read_models.view_reader import read_view

_VIEW = "call_history"
_WAIT_S = 1.0

FIND = statement(f"""
    SELECT
        coalesce((SELECT position FROM {{schema}}.checkpoints WHERE name = '{_VIEW}'), 0),
        coalesce((SELECT max(notification_id) FROM {{log}}), 0),
        found.*
    FROM (SELECT) AS always
    LEFT JOIN (
        SELECT callback_id, attempt
        FROM {{schema}}.call_history
        WHERE call_id = %(call_id)s AND organization_id = %(organization_id)s
        UNION ALL
        SELECT callback_id, attempt
        FROM {{schema}}.open_calls
        WHERE call_id = %(call_id)s AND organization_id = %(organization_id)s
        LIMIT 1
    ) AS found ON true
""")


class PostgresCallIndex:
    """The port ``CallIndex`` on Postgres."""

    def __init__(self, reading: SharedPool, views: ViewLag) -> None:
        """Read over ``reading``."""
        self._reading = reading
        self._views = views

    async def find(self, call_id: UUID, organization_id: int) -> Dialled | None:
        """See the port. A call that ended before the view shows it is in neither place: then wait for the view."""
        found, position, head = await self._query(call_id, organization_id)
        if found is None and position < head and await self._views.wait_for(_VIEW, head, _WAIT_S):
            found, _, _ = await self._query(call_id, organization_id)
        return found

    async def _query(self, call_id: UUID, organization_id: int) -> tuple[Dialled | None, int, int]:
        """Return the attempt, if there is one, the view's position and the log's, all in one snapshot."""
        values = {"call_id": call_id, "organization_id": organization_id}
        ((position, head, callback_id, attempt),) = await read_view(self._reading, FIND, values, prepare=True)
        found = None if callback_id is None else Dialled(callback_id=callback_id, attempt=attempt)
        return found, position, head
