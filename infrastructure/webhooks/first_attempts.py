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
from application.fair_share import FairShare
from application.policies.notify_webhooks import Message
from application.ports.webhooks import Untold
from infrastructure.postgres.batching import Batcher
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.notifications import WEBHOOKS
from infrastructure.postgres.sql import statement
from infrastructure.webhooks.attempt import AttemptSender
from infrastructure.webhooks.lane_leases import Delivery
from infrastructure.webhooks.results import AttemptResult, record_results

WAITED_FOR_MAX = 256
IN_FLIGHT_MAX = 1280
"""Five times as many: an attempt goes on after three seconds of waiting, for 15 seconds in all (docs/settings.md)."""

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
    WITH given AS (
        SELECT d.number, d.lane_id, g.leased_to
        FROM unnest(%b::text[], %b::uuid[]) AS g (id, leased_to)
        JOIN {schema}.webhook_deliveries AS d ON d.id = g.id
    ),
    held AS MATERIALIZED ( -- locked first, like everywhere
        SELECT l.id, l.ready_at, greatest(now(), l.paused_until, l.open_until) AS due_at
        FROM {schema}.webhook_lanes AS l
        WHERE l.id IN (SELECT lane_id FROM given)
        ORDER BY l.id
        FOR NO KEY UPDATE OF l
    ),
    left_to_others AS (
        UPDATE {schema}.webhook_deliveries AS d SET leased_to = NULL, due_at = now()
        FROM given AS g
        JOIN held ON held.id = g.lane_id
        WHERE d.number = g.number AND d.leased_to = g.leased_to AND d.state = 'pending'
        RETURNING d.id
    ),
    woken AS (
        UPDATE {schema}.webhook_lanes AS l SET ready_at = held.due_at
        FROM held
        WHERE l.id = held.id AND held.ready_at > held.due_at
    )
    SELECT pg_notify(%b, '')
    FROM (SELECT count(*) AS count FROM left_to_others) AS left_
    WHERE count > 0
""")
DeliveryLease = tuple[str, UUID, Untold | None]
"""A message's id, who leases its delivery, and why it is not sent at once, if so."""

_logger = structlog.get_logger(__name__)


class FirstAttemptSender:
    """Makes the first attempts of messages that were stored with ``leased_to``; concurrent ones share queries."""

    def __init__(self, pool: Pool, attempts: AttemptSender, wait_s: float, lease_s: float) -> None:
        """Keep callers waiting for at most ``wait_s`` seconds; ``lease_s`` is the time of a lane's lease."""
        self._pool = pool
        self._attempts = attempts
        self._wait_s = wait_s
        self._lease_s = lease_s
        self._sending: set[asyncio.Task[Untold | None]] = set()
        self._waited_for = FairShare("first attempts", WAITED_FOR_MAX)
        self._in_flight = FairShare("first attempts in flight", IN_FLIGHT_MAX)
        self._per_lane: Counter[UUID] = Counter()
        self._reads = Batcher[DeliveryLease, Delivery | Untold](self._read, max_items=256)
        self._records = Batcher[AttemptResult, bool](self._record, max_items=256)

    async def send(self, messages: Sequence[Message], leased_to: UUID) -> Untold | None:
        """Send the messages, which are committed, at once, and record the responses.

        Returns None when the receivers accepted them, else why not, after ``wait_s`` at the latest; without a wait always
        None. Places are held for that long; attempts in flight continue and are recorded then. Never raises: the delivery
        loop sends what found no place, and retries what failed.
        """
        outcomes = await asyncio.gather(*(self._send_one(message, leased_to) for message in messages))
        return next(filter(None, outcomes), None)

    async def drain(self) -> None:
        """Wait until all attempts in flight have ended; those that cannot be recorded are sent again by others."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _send_one(self, message: Message, leased_to: UUID) -> Untold | None:
        owner = message.organization_id
        obstacle = None if self._waited_for.try_acquire(owner) else Untold.NO_PLACE
        sending = asyncio.create_task(self._attempt((message.id, leased_to, obstacle)))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        try:
            await asyncio.wait([sending], timeout=self._wait_s)
        finally:
            if obstacle is None:
                self._waited_for.release(owner)
        if not self._wait_s:
            return None
        return sending.result() if sending.done() else Untold.NO_RESPONSE

    async def _attempt(self, lease: DeliveryLease) -> Untold | None:
        untold: Untold | None = Untold.UNAVAILABLE
        try:
            delivery = await self._reads.submit(lease)
            if isinstance(delivery, Untold):
                return delivery
            try:
                result = await self._attempts.send(delivery, leased_to=lease[1])
            finally:
                self._release_slot(delivery)
            untold = None if result.response.is_success else Untold.FAILED
            await self._records.submit(result)
        except (StorageUnavailable, psycopg.Error) as error:
            _logger.warning("first attempt left to the delivery loop", id=lease[0], error=str(error))
        return untold

    async def _read(self, leases: Sequence[DeliveryLease]) -> Sequence[Delivery | Untold]:
        """Return the deliveries that may be sent at once; hand the others over to the delivery loop."""
        async with self._pool.connection() as connection:
            wanted = [lease for lease in leases if lease[2] is None]
            cursor = connection.cursor(binary=True)
            await cursor.execute(_READ_SENDABLE, _columns(wanted), prepare=True)
            sendable = {one.id: one for one in msgspec.convert(await cursor.fetchall(), list[Delivery])}
            chosen = [obstacle or self._reserve_slot(sendable.get(message_id)) for message_id, _, obstacle in leases]
            rest = [lease for lease, one in zip(leases, chosen, strict=True) if isinstance(one, Untold)]
            if rest:
                await connection.execute(_HAND_OVER, (*_columns(rest), WEBHOOKS), prepare=True)
        return chosen

    def _reserve_slot(self, delivery: Delivery | None) -> Delivery | Untold:
        """Reserve a slot if one is free: a host that hangs must not delay the calls that others announce."""
        if delivery is None:
            return Untold.HELD_BACK
        if self._per_lane[delivery.lane_id] >= PER_LANE_MAX or not self._in_flight.try_acquire(
            delivery.organization_id
        ):
            return Untold.HOST_BUSY
        self._per_lane[delivery.lane_id] += 1
        return delivery

    def _release_slot(self, delivery: Delivery) -> None:
        self._in_flight.release(delivery.organization_id)
        self._per_lane[delivery.lane_id] -= 1
        if not self._per_lane[delivery.lane_id]:
            del self._per_lane[delivery.lane_id]

    async def _record(self, results: Sequence[AttemptResult]) -> Sequence[bool]:
        async with self._pool.connection() as connection:
            await record_results(connection, results, self._lease_s)
        return [True] * len(results)


def _columns(leases: Sequence[DeliveryLease]) -> tuple[list[str], list[UUID]]:
    return [message_id for message_id, _, _ in leases], [leased_to for _, leased_to, _ in leases]
