"""Helpers for tests of views: record facts, catch up with the log, and read as the service does."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
from psycopg import AsyncConnection

from application.queries.task_list import TaskRow
from domain.model import Envelope, Fact, Recorded
from domain.streams import task_stream
from domain.task.task import Task
from infrastructure.event_log.append import APPEND, Command, append_batch
from infrastructure.event_log.codec import encode
from infrastructure.event_log.identity import read_identity
from infrastructure.event_log.reader import BatchReader, EventFilter
from infrastructure.operations.subscribers import handlers
from infrastructure.operations.view_lag import PostgresViewLag
from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.postgres.notifications import Channel
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.read_models.audit_trail.query import PostgresAuditTrail
from infrastructure.read_models.callback_list.query import PostgresCallbackList
from infrastructure.read_models.queue_board.query import PostgresQueueBoard
from infrastructure.read_models.registry import PROJECTIONS
from infrastructure.read_models.task_list.grams import title_grams
from infrastructure.read_models.task_list.query import PostgresTaskList
from infrastructure.subscriptions import checkpoints
from infrastructure.subscriptions.batch_handling import BatchHandler
from infrastructure.subscriptions.runner import Runner

_numbers = count(1)


def new_task() -> str:
    """Return a task's id that sorts after all earlier ones."""
    return f"0197b1c2-f000-7000-8000-{next(_numbers):012x}"


class Views(msgspec.Struct, frozen=True):
    """The views of one database, with its connections; `owner` is in autocommit mode."""

    dsn: str
    owner: AsyncConnection
    pool: Pool
    shared: SharedPool
    task_list: PostgresTaskList
    audit_trail: PostgresAuditTrail
    callback_list: PostgresCallbackList
    queue_board: PostgresQueueBoard
    positions: PostgresViewLag

    def runner(self, name: str) -> Runner:
        """Return a runner of the projection or policy that no notification wakes."""
        new_events = Channel()
        return Runner(handlers()[name], self.pool, new_events, readers=new_events)

    async def catch_up(self, *names: str) -> None:
        """Run these projections and policies, or all projections, until they are up to date."""
        for name in names or PROJECTIONS:
            runner = self.runner(name)
            while await runner.step():
                pass

    async def fold_in_batches_of(self, size: int) -> None:
        """Bring all projections up to date in batches of ``size`` events."""
        for projection in PROJECTIONS.values():
            reader = BatchReader(projection.subscription, await read_identity(self.owner), max_events=size)
            position = await checkpoints.try_lock(self.owner, projection.name) or 0
            while batch := await reader.after(self.owner, position):
                async with self.owner.transaction():
                    await BatchHandler(self.owner, projection.name, projection.handle).handle(batch.events)
                    await checkpoints.advance(self.owner, projection.name, batch.position)
                position = batch.position

    async def record(self, stream: str, *facts: Fact, version: int = 0, organization_id: int = 1, **more: Any) -> int:
        """Append facts to a stream; return the log's position."""
        command = _command(stream, version, facts, organization_id, more)
        ((verdict, position, _),) = await append_batch(self.owner, [command])
        assert (verdict, position is not None) == ("appended", True)
        return position or 0

    async def record_histories(self, histories: Iterable[tuple[str, Sequence[Fact]]], organization_id: int = 1) -> None:
        """Append whole histories of tasks, as ``record_streams`` does."""
        await self.record_streams([(task_stream(task_id), facts) for task_id, facts in histories], organization_id)

    async def record_streams(self, streams: Iterable[tuple[str, Sequence[Fact]]], organization_id: int = 1) -> None:
        """Append whole streams, one fact of each in turn; these facts are one batch of the log."""
        waiting = [(stream, list(facts)) for stream, facts in streams]
        step = 0
        while waiting:
            commands = [
                _command(stream, step, facts[step : step + 1], organization_id, {}) for stream, facts in waiting
            ]
            assert {verdict for verdict, *_ in await append_batch(self.owner, commands)} == {"appended"}
            step += 1
            waiting = [(stream, facts) for stream, facts in waiting if len(facts) > step]

    async def record_raw(self, stream: str, version: int, topic: str, state: bytes) -> None:
        """Append an event that the product would not append."""
        values = ([1], [stream], [version], [topic], [state], [1], ["member/m1"], [None], [None], [None])
        await self.owner.execute(APPEND, values)

    async def events(self, wanted: EventFilter = "") -> list[Recorded[Any]]:
        """Return the recorded events that the filter selects."""
        batch = await BatchReader(wanted, await read_identity(self.owner), max_events=100_000).after(self.owner, 0)
        return [event for event in batch.events if isinstance(event, Recorded)] if batch else []

    async def do(self, statement: str, *values: Any) -> None:
        """Run a statement as the owner."""
        await self.owner.execute(statement.encode(), values)

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query, run as the owner."""
        return await (await self.owner.execute(query.encode(), values)).fetchall()

    async def listed_rows(self) -> dict[str, dict[str, Any]]:
        """Return all rows of task_list by id, without the members' names."""
        names = [name for name in TaskRow.__struct_fields__ if name != "assigned_user_name"]
        rows = await self.rows(f"SELECT {', '.join(names)} FROM perezvon_1.task_list")
        return {row[0]: dict(zip(names, row, strict=True)) for row in rows}

    async def dump(self, table: str) -> list[tuple[Any, ...]]:
        """Return all rows of a table of the schema, sorted by their text."""
        return await self.rows(f'SELECT * FROM perezvon_1.{table} AS t ORDER BY t::text COLLATE "C"')


def row_of(task: Task) -> dict[str, Any]:
    """Return the row of task_list that the task should have."""
    fields = {name: getattr(task, name, getattr(task.details, name, None)) for name in TaskRow.__struct_fields__}
    del fields["assigned_user_name"]
    return fields


def _command(stream: str, version: int, facts: Sequence[Fact], organization_id: int, more: dict[str, Any]) -> Command:
    envelope = Envelope(organization_id=organization_id, **{"actor": "member/m1"} | more)
    return Command(stream=stream, version=version, facts=facts, states=[encode(f) for f in facts], envelope=envelope)


@asynccontextmanager
async def open_views(dsn: str) -> AsyncGenerator[Views]:
    """Open the views of a database for the service's role; close them when the context ends."""
    pool = Pool(service_dsn(dsn), size=4, name="test")
    shared = SharedPool(pool, size=4, resource="views")
    async with await AsyncConnection.connect(dsn, autocommit=True) as owner:
        try:
            yield Views(
                dsn,
                owner,
                pool,
                shared,
                PostgresTaskList(shared, shared),
                PostgresAuditTrail(shared),
                PostgresCallbackList(shared),
                PostgresQueueBoard(shared),
                PostgresViewLag(pool),
            )
        finally:
            await pool.close()


async def fill_task_list(views: Views, tasks: int, organization_id: int = 1) -> None:
    """Insert rows that the projection would have written, without the facts."""
    await views.do(
        """
        INSERT INTO perezvon_1.task_list (id, organization_id, version, attempt, operator_number, status, task_type, priority,
            title, title_folded, caller_phone, created_at, updated_at, assigned_user_id)
        SELECT o || '-' || lpad(n::text, 9, '0'), o, 1, 1, 1,
            (ARRAY['pending','in_progress','completed','failed','cancelled'])[1 + n %% 5],
            (ARRAY['callback','appeal','complaint','order'])[1 + n %% 4], (ARRAY['low','normal','high'])[1 + n %% 3],
            'Заявка ' || md5(n::text), 'заявка ' || md5(n::text), '+7701' || n %% 5000,
            timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-01-01', 'm' || n %% 50
        FROM (VALUES (%s::bigint)) AS v (o), generate_series(1, %s) AS n""",
        organization_id,
        tasks,
    )
    await views.do(
        """
        INSERT INTO perezvon_1.task_counts
        SELECT organization_id, who, status, task_type, priority, count(*)
        FROM perezvon_1.task_list, LATERAL (VALUES (''), (assigned_user_id)) AS w (who)
        WHERE organization_id = %s GROUP BY 1, 2, 3, 4, 5""",
        organization_id,
    )


async def add_grams(views: Views) -> None:
    """Add the grams of their titles to the rows of task_list that were inserted without them."""
    found = await views.rows(
        "SELECT id, organization_id, title_folded FROM perezvon_1.task_list WHERE title_grams IS NULL"
    )
    grams = [{"id": task_id, "grams": title_grams(number, folded)} for task_id, number, folded in found]
    await views.do(
        "UPDATE perezvon_1.task_list AS t SET title_grams = g.grams"
        " FROM json_to_recordset(%s) AS g (id text, grams int[]) WHERE t.id = g.id",
        msgspec.json.encode(grams).decode(),
    )
