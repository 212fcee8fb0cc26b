"""The peer: the same list view, updated by the eventsourcing library's ProjectionRunner, as in its documentation."""

from typing import Any

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import Tracking, TrackingRecorder
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection
from psycopg.sql import SQL, Identifier

from tests.benchmarks.stock_application import FiledTask


class StockTaskList(PostgresTrackingRecorder):
    """A table with a row for each task, and counters by status. Each event and its tracking share a transaction."""

    def __init__(self, datastore: Any, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self.check_identifier_length("stock_task_list")
        self._table = SQL("{}.stock_task_list").format(Identifier(self.datastore.schema))
        self._counts = SQL("{}.stock_task_counts").format(Identifier(self.datastore.schema))
        self.sql_create_statements += [
            SQL(
                "CREATE TABLE IF NOT EXISTS {} (id text PRIMARY KEY, title text, description text, status text,"
                " created_at timestamptz, updated_at timestamptz, version int)"
            ).format(self._table),
            SQL("CREATE TABLE IF NOT EXISTS {} (status text PRIMARY KEY, count bigint)").format(self._counts),
        ]

    def filed(self, event: Any, tracking: Tracking) -> None:
        """Insert a task."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(
                SQL("INSERT INTO {} VALUES (%s, %s, %s, 'pending', %s, %s, 1)").format(self._table),
                (str(event.originator_id), event.title, event.description, event.timestamp, event.timestamp),
                prepare=True,
            )
            self._count(cursor, "pending", 1)
            self._insert_tracking(cursor, tracking)

    def moved(self, event: Any, before: str, after: str, tracking: Tracking) -> None:
        """Change a task's status."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(
                SQL("UPDATE {} SET status = %s, updated_at = %s, version = %s WHERE id = %s").format(self._table),
                (after, event.timestamp, event.originator_version, str(event.originator_id)),
                prepare=True,
            )
            self._count(cursor, before, -1)
            self._count(cursor, after, 1)
            self._insert_tracking(cursor, tracking)

    def _count(self, cursor: Any, status: str, change: int) -> None:
        cursor.execute(
            SQL("INSERT INTO {0} AS c VALUES (%s, %s) ON CONFLICT (status) DO UPDATE SET count = c.count + %s").format(
                self._counts
            ),
            (status, change, change),
            prepare=True,
        )


class StockProjection(Projection[TrackingRecorder]):
    """The projection: it maps each event to a change of the view."""

    name = "stockview"
    topics = ()

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Apply an event to the view."""
        view: Any = self.view
        match type(domain_event).__name__:
            case "Filed":
                view.filed(domain_event, tracking)
            case "Started":
                view.moved(domain_event, "pending", "in_progress", tracking)
            case _:
                view.moved(domain_event, "in_progress", "completed", tracking)


class StockTasks(Application):  # pyright: ignore[reportMissingTypeArgument] - as the library's examples
    """The stock application that the projection follows."""


def fill(application: Any, events: int) -> None:
    """Record ``events`` events: tasks that are filed, started and completed."""
    for _ in range(events // 300):
        batch: list[FiledTask] = []
        for _ in range(100):
            task = FiledTask(
                title="Перезвонить клиенту по поводу доставки заказа", description="Клиент просит уточнить время."
            )
            task.start()
            task.complete()
            batch.append(task)
        application.save(*batch)
