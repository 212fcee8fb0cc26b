"""The deliveries of an organisation and their attempts: list, read, and send again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from application.errors import DeliveryNotFound
from application.policies.notify_webhooks import WebhookKind
from application.ports.webhooks import AttemptRow, DeliveryFilter, DeliveryRow
from infrastructure.postgres.notifications import WEBHOOKS
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.postgres.sql import statement
from infrastructure.webhooks.delivery_schedule import FLAGGED_AFTER
from infrastructure.webhooks.outbox import KEPT_FOR

_COLUMNS = f"""
    id, number, callback_id, kind, url, body, sequence, position, state, recorded_at,
    CASE WHEN state = 'pending' THEN due_at END AS due_at, expires_at, finished_at, attempts, error,
    refusals >= {FLAGGED_AFTER} AS is_flagged
"""
_NAMES = tuple(field.name for field in msgspec.structs.fields(DeliveryRow))
_ATTEMPT_NAMES = tuple(field.name for field in msgspec.structs.fields(AttemptRow))
_ONE = statement(f"""
    SELECT {_COLUMNS}
    FROM {{schema}}.webhook_deliveries
    WHERE organization_id = %s AND id = %s
""")
_ATTEMPTS = statement("""
    SELECT a.attempt, a.at, a.ms, a.status, a.error, a.answer
    FROM {schema}.webhook_attempts AS a
    JOIN {schema}.webhook_deliveries AS d ON d.number = a.delivery_number
    WHERE d.organization_id = %s AND d.id = %s
    ORDER BY a.attempt
""")
_RESEND = statement("""
    WITH lane AS MATERIALIZED ( -- locked first, like everywhere
        SELECT l.id, l.ready_at, greatest(now(), l.paused_until, l.open_until) AS due_at
        FROM {schema}.webhook_lanes AS l
        JOIN {schema}.webhook_deliveries AS d ON d.lane_id = l.id
        WHERE d.organization_id = %s AND d.id = %s
        FOR NO KEY UPDATE OF l
    ),
    again AS (
        UPDATE {schema}.webhook_deliveries AS d
        SET state = 'pending',
            step = 0,
            refusals = 0,
            error = NULL,
            finished_at = NULL,
            leased_to = NULL,
            due_at = now(),
            -- It is not pending any more when it is old enough to be deleted.
            expires_at = least(now() + CASE kind WHEN %s THEN %s WHEN %s THEN %s ELSE %s END, recorded_at + %s)
        FROM lane
        WHERE d.organization_id = %s AND d.id = %s AND d.lane_id = lane.id
        RETURNING 1
    ),
    woken AS (
        UPDATE {schema}.webhook_lanes AS l SET ready_at = lane.due_at
        FROM lane
        WHERE l.id = lane.id AND lane.ready_at > lane.due_at
    )
    SELECT pg_notify(%s, '')
    FROM again
""")


class PostgresWebhookDeliveries:
    """The port ``WebhookDeliveries`` on Postgres."""

    def __init__(self, pool: SharedPool) -> None:
        """Work over ``pool``."""
        self._pool = pool

    async def page(
        self, organization_id: int, matching: DeliveryFilter, *, after: int, limit: int
    ) -> Sequence[DeliveryRow]:
        """See the port."""
        given = {"callback_id": matching.callback_id, "state": matching.state}
        chosen = {name: value for name, value in given.items() if value is not None}
        conditions = "".join(f" AND {name} = %s" for name in chosen)
        query = statement(f"""
            SELECT {_COLUMNS}
            FROM {{schema}}.webhook_deliveries
            WHERE organization_id = %s AND number > %s{conditions}
            ORDER BY number
            LIMIT %s
        """)
        return [
            _row(row)
            for row in await self._rows(organization_id, query, organization_id, after, *chosen.values(), limit)
        ]

    async def one(self, organization_id: int, delivery_id: str) -> DeliveryRow:
        """See the port."""
        rows = await self._rows(organization_id, _ONE, organization_id, delivery_id)
        if not rows:
            raise DeliveryNotFound
        return _row(rows[0])

    async def attempts(self, organization_id: int, delivery_id: str) -> Sequence[AttemptRow]:
        """See the port."""
        await self.one(organization_id, delivery_id)
        return [_attempt(row) for row in await self._rows(organization_id, _ATTEMPTS, organization_id, delivery_id)]

    async def resend(self, organization_id: int, delivery_id: str) -> DeliveryRow:
        """See the port."""
        before, again = WebhookKind.BEFORE, WebhookKind.BEFORE_AGAIN
        lifetimes = (before.value, before.lifetime, again.value, again.lifetime, WebhookKind.AFTER.lifetime, KEPT_FOR)
        one = (organization_id, delivery_id)
        await self._rows(organization_id, _RESEND, *one, *lifetimes, *one, WEBHOOKS)
        return await self.one(organization_id, delivery_id)

    async def _rows(self, organization_id: int, query: bytes, *values: int | str | timedelta) -> list[tuple[Any, ...]]:
        async with self._pool.connection(organization_id) as connection:
            return await (await connection.execute(query, values)).fetchall()


def _row(row: tuple[Any, ...]) -> DeliveryRow:
    found = dict(zip(_NAMES, row, strict=True))
    found["type"] = msgspec.json.decode(found["type"])["type"]
    return msgspec.convert(found, DeliveryRow)


def _attempt(row: tuple[Any, ...]) -> AttemptRow:
    found = dict(zip(_ATTEMPT_NAMES, row, strict=True))
    found["answer"] = bytes(found["answer"]).decode(errors="replace").replace("\0", "")
    return msgspec.convert(found, AttemptRow)
