"""Messages to deliver, and a worker that delivers them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from application.policies.notify_webhooks import Message, WebhookKind
from application.webhook_options import WebhookOptions
from application.webhook_targets import TargetPolicy, networks_of
from infrastructure.postgres.connections import service_dsn
from infrastructure.webhooks.name_lookup import Lookup
from infrastructure.webhooks.outbox import enqueue
from tests.support.secrets_key import SECRETS_KEY
from tests.support.worker_parts import deliver

OPENED = networks_of("127.0.0.0/8,::1/128")
OPTIONS = WebhookOptions(targets=TargetPolicy(OPENED), timeout=2.0, before_wait=1.0, secrets_key=SECRETS_KEY)
ORGANIZATION = 65

_positions = count(1)


def message(
    url: str, *, kind: WebhookKind = WebhookKind.AFTER, callback_id: int = 1, age_s: float = 0.0, **more: Any
) -> Message:
    """Return a message about a callback; each is of a later event than the one before."""
    position = next(_positions)
    message_id = f"msg_{uuid4().hex}"
    body = {
        "id": message_id,
        "type": "callback.finished.v1",
        "sequence": position,
        "data": {"callback_id": callback_id},
    }
    fields: dict[str, Any] = {
        "id": message_id,
        "organization_id": ORGANIZATION,
        "callback_id": callback_id,
        "kind": kind,
        "url": url,
        "sequence": position,
        "position": position,
        "recorded_at": datetime.now(UTC) - timedelta(seconds=age_s),
        "body": msgspec.json.encode(body),
    }
    return Message(**(fields | more))


async def enqueue_all(dsn: str, messages: Sequence[Message], *, leased_to: UUID | None = None) -> None:
    """Store messages as a policy or the dispatcher does."""
    async with await AsyncConnection.connect(service_dsn(dsn)) as connection:
        await enqueue(connection, messages, leased_to=leased_to)


@asynccontextmanager
async def worker(dsn: str, options: WebhookOptions = OPTIONS, lookup: Lookup | None = None) -> AsyncGenerator[None]:
    """Deliver in this process while the context lasts; ``lookup`` finds the addresses of names."""
    stop = asyncio.Event()
    running = asyncio.create_task(deliver(service_dsn(dsn), stop, options, lookup))
    try:
        yield
    finally:
        stop.set()
        await running


@contextmanager
def worker_process(dsn: str, options: WebhookOptions = OPTIONS) -> Generator[subprocess.Popen[bytes]]:
    """Deliver in another process, which may be killed."""
    given = {
        "PEREZVON_WEBHOOK_ALLOW_NETS": ",".join(map(str, options.targets.allowed)),
        "PEREZVON_WEBHOOK_TIMEOUT_SECONDS": str(options.timeout),
    }
    command = [sys.executable, "-m", "tests.support.webhook_worker", service_dsn(dsn)]
    with subprocess.Popen(command, env={**os.environ, **given}) as process:
        try:
            yield process
        finally:
            process.kill()


def rows(dsn: str, query: str, *values: object) -> list[dict[str, Any]]:
    """Return the rows of a query, as the owner; ``SCHEMA.`` is replaced by the schema."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.cursor(row_factory=dict_row)
        found.execute(query.replace("SCHEMA.", "perezvon_1.").encode(), values or None)
        return found.fetchall() if found.description else []


def deliveries(dsn: str) -> dict[str, dict[str, Any]]:
    """Return all deliveries by id."""
    return {row["id"]: row for row in rows(dsn, "SELECT * FROM SCHEMA.webhook_deliveries ORDER BY number")}


def late_lanes(dsn: str) -> list[dict[str, Any]]:
    """Return the lanes that would be leased too late, because a delivery is due before ``ready_at``."""
    return rows(
        dsn,
        "SELECT l.host, l.ready_at FROM SCHEMA.webhook_lanes AS l JOIN SCHEMA.webhook_deliveries AS d ON d.lane_id = l.id"
        " WHERE d.state = 'pending' AND l.ready_at > greatest(d.due_at, l.paused_until, l.open_until, now())",
    )


def states(dsn: str) -> set[str]:
    """Return the states of all deliveries."""
    return {row["state"] for row in deliveries(dsn).values()}


async def change(dsn: str, *queries: str) -> None:
    """Change rows in another thread, since a worker of this process may hold their locks; then wake lanes and worker."""
    for query in (*queries, "UPDATE SCHEMA.webhook_lanes SET ready_at = now()", "NOTIFY webhooks"):
        await asyncio.to_thread(rows, dsn, query)


async def bring_forward(dsn: str) -> None:
    """Make all pending deliveries due, and end the pauses of lanes."""
    await change(
        dsn,
        "UPDATE SCHEMA.webhook_lanes SET open_until = least(open_until, now()), paused_until = least(paused_until, now())",
        "UPDATE SCHEMA.webhook_deliveries SET due_at = now() WHERE state = 'pending'",
    )
