"""First attempts that somebody waits for: the dial waits a moment for the webhook that announces it."""

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

# Those that may go out at once: the first of their callbacks, to hosts that nobody gave up for the time being.
_MINE = statement(
    "SELECT d.number, d.id, d.lane_id, d.organization_id, d.kind, d.url, d.body, d.attempts, d.step, d.refusals,"
    " d.recorded_at, d.expires_at FROM {schema}.webhook_deliveries AS d JOIN {schema}.webhook_lanes AS l"
    " ON l.id = d.lane_id JOIN unnest(%b::text[], %b::uuid[]) AS g (id, leased_to)"
    " ON g.id = d.id AND g.leased_to = d.leased_to WHERE d.state = 'pending'"
    " AND l.open_until <= now() AND l.paused_until <= now() AND d.position = (SELECT min(e.position)"
    " FROM {schema}.webhook_deliveries AS e WHERE e.callback_id = d.callback_id AND e.state = 'pending')"
)
_LEAVE = statement(
    "WITH left_to_others AS (UPDATE {schema}.webhook_deliveries AS d SET leased_to = NULL, due_at = now()"
    " FROM unnest(%b::text[], %b::uuid[]) AS g (id, leased_to) WHERE d.id = g.id AND d.leased_to = g.leased_to"
    " AND d.state = 'pending' RETURNING d.id)"
    " SELECT pg_notify(%b, '') FROM (SELECT count(*) AS count FROM left_to_others) AS left_ WHERE count > 0"
)
DeliveryLease = tuple[str, UUID]
"""A message's id, and who leased it."""

_logger = structlog.get_logger(__name__)


class FirstAttemptSender:
    """Makes the first attempts of messages that were put with ``leased_to``; what is asked for at once shares queries."""

    def __init__(self, pool: Pool, attempts: AttemptSender, wait_s: float, lease_s: float) -> None:
        """Let nobody wait longer than ``wait_s`` seconds."""
        self._pool = pool
        self._attempts = attempts
        self._wait_s = wait_s
        self._lease_s = lease_s
        self._sending: set[asyncio.Task[None]] = set()
        self._per_lane: Counter[UUID] = Counter()
        self._finds = Batcher[DeliveryLease, Delivery | None](self._find, max_items=256)
        self._records = Batcher[AttemptResult, bool](self._record, max_items=256)

    async def make(self, messages: Sequence[Message], leased_to: UUID) -> None:
        """Send the messages, which are committed, at once, and record the answers.

        Returns when all are answered, or after the seconds that were given; attempts that are under way go on and are
        recorded then. Never raises: what goes wrong is tried again by the deliveries, like every first attempt.
        """
        if not messages:
            return
        making = [asyncio.create_task(self._make(message.id, leased_to)) for message in messages]
        for task in making:
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        await asyncio.wait(making, timeout=self._wait_s)

    async def drain(self) -> None:
        """Wait until all that is under way has ended; what cannot be recorded is sent again by others."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _make(self, message_id: str, leased_to: UUID) -> None:
        try:
            delivery = await self._finds.submit((message_id, leased_to))
            if delivery is None:
                return
            try:
                result = await self._attempts.make(delivery, leased_to=leased_to)
            finally:
                self._per_lane[delivery.lane_id] -= 1
            await self._records.submit(result)
        except (StorageUnavailable, psycopg.Error) as error:
            _logger.warning("first attempt left to the deliveries", id=message_id, error=str(error))

    async def _find(self, leases: Sequence[DeliveryLease]) -> Sequence[Delivery | None]:
        """Answer those that may be sent at once; the others are left to the deliveries."""
        columns = [message_id for message_id, _ in leases], [leased_to for _, leased_to in leases]
        async with self._pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(_MINE, columns, prepare=True)
            found = msgspec.convert(await cursor.fetchall(), list[Delivery])
            chosen = {delivery.id: delivery for delivery in found if self._has_place(delivery.lane_id)}
            rest = [lease for lease in leases if lease[0] not in chosen]
            if rest:
                columns = [message_id for message_id, _ in rest], [leased_to for _, leased_to in rest]
                await connection.execute(_LEAVE, (*columns, CHANNEL), prepare=True)
        return [chosen.get(message_id) for message_id, _ in leases]

    def _has_place(self, lane_id: UUID) -> bool:
        """Take a place, if there is one: a host that hangs must not hold up the calls that others announce."""
        if self._per_lane[lane_id] >= PER_LANE_MAX or self._per_lane.total() >= IN_FLIGHT_MAX:
            return False
        self._per_lane[lane_id] += 1
        return True

    async def _record(self, results: Sequence[AttemptResult]) -> Sequence[bool]:
        async with self._pool.connection() as connection:
            await record_results(connection, results, self._lease_s)
        return [True] * len(results)
