"""Recording what came of attempts: deliveries, attempt log and the breakers of lanes, in one transaction."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog
from psycopg import AsyncConnection

from application.ports.webhooks import DeliveryState
from infrastructure.postgres.sql import statement
from infrastructure.webhooks import metrics
from infrastructure.webhooks.breaker import Breaker
from infrastructure.webhooks.delivery_schedule import (
    FLAGGED_AFTER,
    NOT_ALLOWED,
    DeliveryUpdate,
    ReceiverResponse,
    RetryState,
    decide_update,
)
from infrastructure.webhooks.lane_leases import Delivery

_COLUMNS = tuple(field.name for field in msgspec.structs.fields(Breaker))
_LANES = statement(
    f"SELECT id, fence, now(), {', '.join(_COLUMNS)} FROM {{schema}}.webhook_lanes WHERE id = ANY(%b::uuid[])"
    " ORDER BY id FOR NO KEY UPDATE"
)
_RECORD = statement(
    "WITH given AS (SELECT * FROM unnest(%b::bigint[], %b::uuid[], %b::text[], %b::timestamptz[], %b::int[], %b::int[],"
    " %b::text[], %b::timestamptz[], %b::int[], %b::int[], %b::bytea[]) AS g (number, leased_to, state, due_at, step,"
    " refusals, error, at, ms, status, answer)),"
    " done AS (UPDATE {schema}.webhook_deliveries AS d SET state = g.state, due_at = coalesce(g.due_at, d.due_at),"
    " attempts = d.attempts + 1, step = g.step, refusals = g.refusals, error = g.error, leased_to = NULL,"
    " finished_at = CASE WHEN g.state <> 'pending' THEN now() END"
    " FROM given AS g WHERE d.number = g.number AND d.state = 'pending'"
    " AND (g.leased_to IS NULL OR d.leased_to = g.leased_to)"
    " RETURNING d.number, d.attempts, d.callback_id, d.position, d.state),"
    " followers AS (UPDATE {schema}.webhook_deliveries AS f SET due_at = now() FROM done WHERE done.state <> 'pending'"
    " AND f.callback_id = done.callback_id AND f.state = 'pending' AND f.position > done.position AND f.attempts = 0"
    " AND f.due_at > now() AND f.leased_to IS NULL)"
    " INSERT INTO {schema}.webhook_attempts (delivery_number, attempt, at, ms, status, error, answer)"
    " SELECT number, done.attempts, g.at, g.ms, g.status, g.error, g.answer FROM done JOIN given AS g USING (number)"
)
_CANCEL = statement(
    "UPDATE {schema}.webhook_deliveries AS d SET state = 'cancelled', finished_at = now(), error = 'gone'"
    " FROM {schema}.webhook_deliveries AS g WHERE g.number = ANY(%b::bigint[]) AND d.callback_id = g.callback_id"
    " AND d.url = g.url AND d.state = 'pending'"
)
_KEEP = statement(
    "UPDATE {schema}.webhook_lanes AS l SET lease_until = CASE WHEN l.fence = g.fence THEN now() + %b::interval"
    f" ELSE l.lease_until END, {', '.join(f'{name} = g.{name}' for name in _COLUMNS)}"
    " FROM unnest(%b::uuid[], %b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::int[], %b::int[],"
    f" %b::timestamptz[], %b::int[], %b::int[], %b::int[]) AS g (id, fence, {', '.join(_COLUMNS)}) WHERE l.id = g.id"
)

_logger = structlog.get_logger(__name__)


class AttemptResult(msgspec.Struct, frozen=True):
    """What came of an attempt that began ``at``: by the holder of a lane's fence, or of a delivery's own lease."""

    delivery: Delivery
    answer: ReceiverResponse
    at: datetime
    fence: int | None = None
    leased_to: UUID | None = None


class LaneUpdates(msgspec.Struct, frozen=True):
    """What stands after recording: the breakers of the lanes, and the lanes that another holds by now; ``at`` is Postgres's time."""

    breakers: Mapping[UUID, Breaker]
    lost: frozenset[UUID]
    at: datetime


async def record_results(connection: AsyncConnection, results: Sequence[AttemptResult], lease_s: float) -> LaneUpdates:
    """Record results, and hold the lanes of those with a fence for ``lease_s`` seconds more.

    What a late holder of a lane's lease has to tell is left out: another tells the same delivery's story by now.
    """
    async with connection.transaction():
        # Lost with the server's last moments it is sent again, as ever the same message.
        await connection.execute("SET LOCAL synchronous_commit = off")
        ids = sorted({result.delivery.lane_id for result in results})
        cursor = connection.cursor(binary=True)
        rows = await (await cursor.execute(_LANES, (ids,), prepare=True)).fetchall()
        now: datetime = rows[0][2]
        fences: dict[UUID, int] = {row[0]: row[1] for row in rows}
        breakers = {row[0]: Breaker(**dict(zip(_COLUMNS, row[3:], strict=True))) for row in rows}
        kept = [result for result in results if result.fence in {None, fences[result.delivery.lane_id]}]
        decided = [(result, _decided(result, now)) for result in kept]
        for result, what in decided:
            lane = result.delivery.lane_id
            breakers[lane] = breakers[lane].paused(what.pause_until).after(what.health, now)
        await connection.execute(_RECORD, _columns(decided), prepare=True)
        if gone := [result.delivery.number for result, what in decided if what.is_gone]:
            await connection.execute(_CANCEL, (gone,))
        held = {result.delivery.lane_id: result.fence for result in kept if result.fence is not None}
        columns = zip(*(_row(lane, held.get(lane, -1), breakers[lane]) for lane in ids), strict=True)
        await connection.execute(_KEEP, (timedelta(seconds=lease_s), *map(list, columns)), prepare=True)
    _tell(decided, len(results) - len(kept))
    lost = {result.delivery.lane_id for result in results if result.fence is not None} - held.keys()
    return LaneUpdates(breakers, frozenset(lost), now)


def _decided(result: AttemptResult, now: datetime) -> DeliveryUpdate:
    delivery = result.delivery
    standing = RetryState(
        kind=delivery.kind, step=delivery.step, refusals=delivery.refusals, expires_at=delivery.expires_at
    )
    return decide_update(result.answer, standing, now, random.random())  # noqa: S311 - jitter is no secret


def _columns(decided: Sequence[tuple[AttemptResult, DeliveryUpdate]]) -> tuple[list[Any], ...]:
    rows = [
        (
            result.delivery.number,
            result.leased_to,
            what.state.value,
            what.due_at,
            what.step,
            what.refusals,
            what.error,
            result.at,
            round(result.answer.seconds * 1000),
            result.answer.status,
            result.answer.head,
        )
        for result, what in decided
    ]
    return tuple(map(list, zip(*rows, strict=True))) if rows else tuple([] for _ in range(11))


def _row(lane: UUID, fence: int, breaker: Breaker) -> tuple[Any, ...]:
    return lane, fence, *msgspec.structs.astuple(breaker)


def _tell(decided: Sequence[tuple[AttemptResult, DeliveryUpdate]], fenced: int) -> None:
    metrics.FENCED.inc(fenced)
    counts = Counter(
        (result.delivery.kind.value, "retry" if what.state is DeliveryState.PENDING else what.state.value)
        for result, what in decided
    )
    for (kind, outcome), count in counts.items():
        metrics.ATTEMPTS.labels(kind, outcome).inc(count)
    for result, what in decided:
        if what.error == NOT_ALLOWED:
            metrics.BLOCKED.inc()
        if what.state in {DeliveryState.FAILED, DeliveryState.EXPIRED} or what.refusals == FLAGGED_AFTER:
            _logger.warning(
                "webhook not delivered",
                id=result.delivery.id,
                organization_id=result.delivery.organization_id,
                state=what.state.value,
                error=what.error,
                refusals=what.refusals,
            )
