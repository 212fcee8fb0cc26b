"""First attempts that the dispatcher waits for.

A call is dialled when the webhook that announces it has a response, or after a short wait.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec
import psycopg
import structlog

from application.errors import StorageUnavailable
from application.policies.notify_webhooks import Message
from infrastructure.postgres.batching import Batcher
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement
from infrastructure.webhooks.attempt import AttemptSender
from infrastructure.webhooks.lane_leases import Delivery
from infrastructure.webhooks.outbox import CHANNEL
from infrastructure.webhooks.results import AttemptResult, record_results

IN_FLIGHT_MAX = 256
PER_LANE_MAX = 32

# Those that may be sent at once: each the first pending one of its callback, in a lane that is neither open nor paused.
_READ_SENDABLE = statement("""
    SELECT
        d.number, d.id, d.lane_id, d.organization_id, d.kind, d.url, d.body,
        d.attempts, d.step, d.refusals, d.recorded_at, d.expires_at
    FROM {schema}.webhook_deliveries AS d
    JOIN {schema}.webhook_lanes AS l ON l.id = d.lane_id
    JOIN unnest(%b::text[], %b::uuid[]) AS g (id, leased_to) ON g.id = d.id AND g.leased_to = d.leased_to
    WHERE d.state = 'pending'
        AND l.open_until <= now()
        AND l.paused_until <= now()
        AND d.position = (
            SELECT min(e.position)
            FROM {schema}.webhook_deliveries AS e
            WHERE e.callback_id = d.callback_id AND e.state = 'pending'
        )
""")
_HAND_OVER = statement("""
    WITH left_to_others AS (
        UPDATE {schema}.webhook_deliveries AS d SET leased_to = NULL, due_at = now()
        FROM unnest(%b::text[], %b::uuid[]) AS g (id, leased_to)
        WHERE d.id = g.id AND d.leased_to = g.leased_to AND d.state = 'pending'
        RETURNING d.id
    )
    SELECT pg_notify(%b, '')
    FROM (SELECT count(*) AS count FROM left_to_others) AS left_
    WHERE count > 0
""")
DeliveryLease = tuple[str, UUID]
"""A message's id, and who leases its delivery."""

_logger = structlog.get_logger(__name__)


class FirstAttemptSender:
    """Makes the first attempts of messages that were stored with ``leased_to``; concurrent ones share queries."""

    def __init__(self, pool: Pool, attempts: AttemptSender, wait_s: float, lease_s: float) -> None:
        """Keep callers waiting for at most ``wait_s`` seconds; ``lease_s`` is the time of a lane's lease."""
        self._pool = pool
        self._attempts = attempts
        self._wait_s = wait_s
        self._lease_s = lease_s
        self._sending: set[asyncio.Task[None]] = set()
        self._per_lane: Counter[UUID] = Counter()
        self._reads = Batcher[DeliveryLease, Delivery | None](self._read, max_items=256)
        self._records = Batcher[AttemptResult, bool](self._record, max_items=256)

    async def send(self, messages: Sequence[Message], leased_to: UUID) -> None:
        """Send the messages, which are committed, at once, and record the responses.

        Returns when all have a response, or after ``wait_s``; attempts in flight continue and are recorded then. Never
        raises: a failed one is retried by the delivery loop, like every first attempt.
        """
        if not messages:
            return
        sending = [asyncio.create_task(self._send(message.id, leased_to)) for message in messages]
        for task in sending:
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        await asyncio.wait(sending, timeout=self._wait_s)

    async def drain(self) -> None:
        """Wait until all attempts in flight have ended; those that cannot be recorded are sent again by others."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _send(self, message_id: str, leased_to: UUID) -> None:
        try:
            delivery = await self._reads.submit((message_id, leased_to))
            if delivery is None:
                return
            try:
                result = await self._attempts.send(delivery, leased_to=leased_to)
            finally:
                self._per_lane[delivery.lane_id] -= 1
            await self._records.submit(result)
        except (StorageUnavailable, psycopg.Error) as error:
            _logger.warning("first attempt left to the delivery loop", id=message_id, error=str(error))

    async def _read(self, leases: Sequence[DeliveryLease]) -> Sequence[Delivery | None]:
        """Return the deliveries that may be sent at once; hand the others over to the delivery loop."""
        columns = [message_id for message_id, _ in leases], [leased_to for _, leased_to in leases]
        async with self._pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(_READ_SENDABLE, columns, prepare=True)
            found = msgspec.convert(await cursor.fetchall(), list[Delivery])
            chosen = {delivery.id: delivery for delivery in found if self._reserve_slot(delivery.lane_id)}
            rest = [lease for lease in leases if lease[0] not in chosen]
            if rest:
                columns = [message_id for message_id, _ in rest], [leased_to for _, leased_to in rest]
                await connection.execute(_HAND_OVER, (*columns, CHANNEL), prepare=True)
        return [chosen.get(message_id) for message_id, _ in leases]

    def _reserve_slot(self, lane_id: UUID) -> bool:
        """Reserve a slot if one is free: a host that hangs must not delay the calls that others announce."""
        if self._per_lane[lane_id] >= PER_LANE_MAX or self._per_lane.total() >= IN_FLIGHT_MAX:
            return False
        self._per_lane[lane_id] += 1
        return True

    async def _record(self, results: Sequence[AttemptResult]) -> Sequence[bool]:
        async with self._pool.connection() as connection:
            await record_results(connection, results, self._lease_s)
        return [True] * len(results)
