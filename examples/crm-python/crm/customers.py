"""The table of customers, in SQLite. Each method is one transaction, durable when it returns."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock
from uuid import uuid4

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS customers (
    id TEXT PRIMARY KEY,                    -- the CRM's own id; it is sent as the callback's name and returned in each webhook
    name TEXT NOT NULL,
    phone TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT,                            -- why the customer was not reached
    task_id TEXT,                           -- NULL until perezvon has confirmed the task
    callback_id INTEGER,                    -- NULL until perezvon has confirmed the callback
    task_closed INTEGER NOT NULL DEFAULT 0,
    webhooks INTEGER NOT NULL DEFAULT 0,    -- distinct webhooks received
    sequence INTEGER NOT NULL DEFAULT 0     -- sequence of the newest applied webhook
);
CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY);
"""

UNFINISHED = """
SELECT * FROM customers
WHERE (state = 'pending' AND callback_id IS NULL)
   OR (state IN ('reached', 'failed', 'cancelled') AND task_id IS NOT NULL AND NOT task_closed)
ORDER BY rowid LIMIT 1
"""


class State(StrEnum):
    """The state of a customer's callback."""

    PENDING = "pending"
    CALLING = "calling"
    REACHED = "reached"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Customer:
    """A row of the table."""

    id: str
    name: str
    phone: str
    state: State
    attempts: int
    reason: str | None
    task_id: str | None
    callback_id: int | None
    webhooks: int


@dataclass(frozen=True)
class Webhook:
    """The fields of a verified webhook that the CRM uses. `state` is None for events that the CRM does not handle."""

    id: str
    customer_id: str
    callback_id: int
    sequence: int
    state: State | None
    attempts: int | None
    reason: str | None


class Customers:
    """The table of customers. It may be shared between threads."""

    def __init__(self, path: Path) -> None:
        """Open the file, and create it if it does not exist."""
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(SCHEMA)
        self._lock = Lock()

    def add(self, name: str, phone: str) -> Customer:
        """Insert a customer to call back."""
        customer_id = str(uuid4())
        with self._transaction() as db:
            db.execute("INSERT INTO customers (id, name, phone) VALUES (?, ?, ?)", (customer_id, name, phone))
            return _customer(db.execute("SELECT * FROM customers WHERE id = ?", (customer_id,)).fetchone())

    def all(self) -> list[Customer]:
        """Return all customers, oldest first."""
        with self._transaction() as db:
            return [_customer(row) for row in db.execute("SELECT * FROM customers ORDER BY rowid")]

    def next_unfinished(self) -> Customer | None:
        """Return the oldest customer with a pending request to perezvon.

        A request is pending if the task or callback is not confirmed, or if the task does not show the result yet.
        """
        with self._transaction() as db:
            row = db.execute(UNFINISHED).fetchone()
            return _customer(row) if row else None

    def record_task(self, customer_id: str, task_id: str) -> None:
        """Record that perezvon confirmed the task."""
        with self._transaction() as db:
            db.execute("UPDATE customers SET task_id = ? WHERE id = ?", (task_id, customer_id))

    def record_callback(self, customer_id: str, callback_id: int) -> None:
        """Record that perezvon confirmed the callback."""
        with self._transaction() as db:
            db.execute("UPDATE customers SET callback_id = ? WHERE id = ?", (callback_id, customer_id))

    def record_refusal(self, customer_id: str, reason: str) -> None:
        """Record that perezvon refused the customer's task or callback, and why."""
        with self._transaction() as db:
            db.execute("UPDATE customers SET state = 'failed', reason = ? WHERE id = ?", (reason, customer_id))

    def record_task_closed(self, customer_id: str) -> None:
        """Record that the task shows the result of the callback."""
        with self._transaction() as db:
            db.execute("UPDATE customers SET task_closed = 1 WHERE id = ?", (customer_id,))

    def record_webhook(self, webhook: Webhook) -> bool:
        """Apply a webhook once, and only if it is newer than the last one that was applied.

        Returns:
            False if this webhook was received before.
        """
        with self._transaction() as db:
            if db.execute("INSERT OR IGNORE INTO webhooks (id) VALUES (?)", (webhook.id,)).rowcount == 0:
                return False
            db.execute("UPDATE customers SET webhooks = webhooks + 1 WHERE id = ?", (webhook.customer_id,))
            if webhook.state is not None:
                db.execute(
                    "UPDATE customers SET state = ?, reason = ?, attempts = coalesce(?, attempts), callback_id = ?,"
                    " sequence = ? WHERE id = ? AND sequence < ?",
                    (
                        *(webhook.state, webhook.reason, webhook.attempts, webhook.callback_id),
                        *(webhook.sequence, webhook.customer_id, webhook.sequence),
                    ),
                )
            return True

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._lock, self._connection as db:  # the connection commits, or rolls back on an exception
            yield db


def _customer(row: sqlite3.Row) -> Customer:
    return Customer(
        id=row["id"],
        name=row["name"],
        phone=row["phone"],
        state=State(row["state"]),
        attempts=row["attempts"],
        reason=row["reason"],
        task_id=row["task_id"],
        callback_id=row["callback_id"],
        webhooks=row["webhooks"],
    )
