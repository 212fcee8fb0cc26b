"""Results of attempts, recorded in one transaction: the deliveries, the log of attempts and the breakers of lanes."""

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
from infrastructure.postgres.sql import load_statement, statement
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
from infrastructure.webhooks.lane_leases import Delivery, wake_lanes

_BREAKER_COLUMNS = tuple(field.name for field in msgspec.structs.fields(Breaker))
_LOCK_LANES = statement(f"""
    SELECT id, fence, now(), {", ".join(_BREAKER_COLUMNS)}
    FROM {{schema}}.webhook_lanes
    WHERE id = ANY(%b::uuid[])
    ORDER BY id
    FOR NO KEY UPDATE
""")
# Makes the next deliveries of a finished one's callback due, too, and returns their lanes.
_RECORD = load_statement(__name__, "record_results.sql")
_CANCEL = statement("""
    UPDATE {schema}.webhook_deliveries AS d
    SET state = 'cancelled', finished_at = now(), error = 'gone'
    FROM {schema}.webhook_deliveries AS g
    WHERE g.number = ANY(%b::bigint[])
        AND d.callback_id = g.callback_id
        AND d.url = g.url
        AND d.state = 'pending'
""")
_UPDATE_LANES = statement(f"""
    UPDATE {{schema}}.webhook_lanes AS l
    SET lease_until = CASE WHEN l.fence = g.fence THEN now() + %b::interval ELSE l.lease_until END,
        has_answered = l.has_answered OR g.answers,
        ready_at = CASE
            WHEN g.due_at IS NULL THEN l.ready_at
            ELSE least(l.ready_at, greatest(g.due_at, g.paused_until, g.open_until))
        END,
        {", ".join(f"{name} = g.{name}" for name in _BREAKER_COLUMNS)}
    FROM unnest(
        %b::uuid[], %b::bigint[], %b::bool[], %b::timestamptz[], %b::timestamptz[], %b::timestamptz[], %b::int[],
        %b::int[], %b::timestamptz[], %b::int[], %b::int[], %b::int[]
    ) AS g (id, fence, answers, due_at, {", ".join(_BREAKER_COLUMNS)})
    WHERE l.id = g.id
""")
_NO_FENCE = -1

_logger = structlog.get_logger(__name__)


class AttemptResult(msgspec.Struct, frozen=True):
    """The response to an attempt that began ``at``, made by the holder of a lane's fence or of a delivery's own lease."""

    delivery: Delivery
    response: ReceiverResponse
    at: datetime
    fence: int | None = None
    leased_to: UUID | None = None


class LaneUpdates(msgspec.Struct, frozen=True):
    """The breakers of lanes after recording, and the lanes that another worker leases by now; ``at`` is Postgres's time."""

    breakers: Mapping[UUID, Breaker]
    lost: frozenset[UUID]
    at: datetime


async def record_results(connection: AsyncConnection, results: Sequence[AttemptResult], lease_s: float) -> LaneUpdates:
    """Record results, and extend the leases of the lanes of those with a fence by ``lease_s`` seconds.

    Results of an earlier holder of a lane's lease are dropped: the present holder sends the same delivery.
    """
    async with connection.transaction():
        # If a crash of the server loses this commit, the same message is sent again.
        await connection.execute("SET LOCAL synchronous_commit = off")
        ids = sorted({result.delivery.lane_id for result in results})
        cursor = connection.cursor(binary=True)
        rows = await (await cursor.execute(_LOCK_LANES, (ids,), prepare=True)).fetchall()
        now: datetime = rows[0][2]
        fences: dict[UUID, int] = {row[0]: row[1] for row in rows}
        before = {row[0]: Breaker(**dict(zip(_BREAKER_COLUMNS, row[3:], strict=True))) for row in rows}
        kept = [result for result in results if result.fence in {None, fences[result.delivery.lane_id]}]
        decided = [(result, _decide(result, now)) for result in kept]
        breakers = _breakers(before, decided, now)
        recorded = await connection.execute(_RECORD, _columns(decided), prepare=True)
        followed = [lane for (lane,) in await recorded.fetchall()]
        if gone := [result.delivery.number for result, update in decided if update.is_gone]:
            await connection.execute(_CANCEL, (gone,))
        held = {result.delivery.lane_id: result.fence for result in kept if result.fence is not None}
        answering = {result.delivery.lane_id for result in kept if result.response.status is not None}
        due = _due_times(before, breakers, decided, now)
        lanes = [
            (
                lane,
                held.get(lane, _NO_FENCE),
                lane in answering,
                due.get(lane),
                *msgspec.structs.astuple(breakers[lane]),
            )
            for lane in ids
        ]
        columns = map(list, zip(*lanes, strict=True))
        await connection.execute(_UPDATE_LANES, (timedelta(seconds=lease_s), *columns), prepare=True)
    if followed:  # their lanes were not locked in the order of lanes, so they are woken by a transaction of its own
        await wake_lanes(connection, followed)
    _report(decided, len(results) - len(kept))
    lost = {result.delivery.lane_id for result in results if result.fence is not None} - held.keys()
    return LaneUpdates(breakers, frozenset(lost), now)


def _decide(result: AttemptResult, now: datetime) -> DeliveryUpdate:
    delivery = result.delivery
    retry_state = RetryState(
        kind=delivery.kind, step=delivery.step, refusals=delivery.refusals, expires_at=delivery.expires_at
    )
    return decide_update(result.response, retry_state, now, random.random())  # noqa: S311 - jitter is no secret


def _columns(decided: Sequence[tuple[AttemptResult, DeliveryUpdate]]) -> tuple[list[Any], ...]:
    rows = [
        (
            result.delivery.number,
            result.leased_to,
            update.state.value,
            update.due_at,
            update.step,
            update.refusals,
            update.error,
            result.at,
            round(result.response.seconds * 1000),
            result.response.status,
            result.response.head,
            update.is_counted,
        )
        for result, update in decided
    ]
    return tuple(map(list, zip(*rows, strict=True))) if rows else tuple([] for _ in range(12))


def _breakers(
    before: Mapping[UUID, Breaker], decided: Sequence[tuple[AttemptResult, DeliveryUpdate]], now: datetime
) -> dict[UUID, Breaker]:
    breakers = dict(before)
    for result, update in decided:
        lane = result.delivery.lane_id
        breakers[lane] = breakers[lane].paused(update.pause_until).after(update.health, now)
    return breakers


def _due_times(
    before: Mapping[UUID, Breaker],
    after: Mapping[UUID, Breaker],
    decided: Sequence[tuple[AttemptResult, DeliveryUpdate]],
    now: datetime,
) -> dict[UUID, datetime]:
    """Return the times at which lanes have something to send again, as far as these results decide it."""
    due = {lane: now for lane, breaker in after.items() if breaker.open_until < before[lane].open_until}
    for result, update in decided:
        if update.due_at:
            lane = result.delivery.lane_id
            due[lane] = min(update.due_at, due.get(lane, update.due_at))
    return due


def _report(decided: Sequence[tuple[AttemptResult, DeliveryUpdate]], fenced: int) -> None:
    metrics.FENCED.inc(fenced)
    counts = Counter(
        (result.delivery.kind.value, "retry" if update.state is DeliveryState.PENDING else update.state.value)
        for result, update in decided
    )
    for (kind, outcome), count in counts.items():
        metrics.ATTEMPTS.labels(kind, outcome).inc(count)
    for result, update in decided:
        if update.error == NOT_ALLOWED:
            metrics.BLOCKED.inc()
        if update.state in {DeliveryState.FAILED, DeliveryState.EXPIRED} or update.refusals == FLAGGED_AFTER:
            _logger.warning(
                "webhook not delivered",
                id=result.delivery.id,
                organization_id=result.delivery.organization_id,
                state=update.state.value,
                error=update.error,
                refusals=update.refusals,
            )
