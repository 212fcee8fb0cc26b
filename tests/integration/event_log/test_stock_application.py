"""A stock ``Application`` of the ``eventsourcing`` library, configured only with the address of Postgres, on our log."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import (
    InfrastructureFactoryError,
    IntegrityError,
    Mapper,
    MapperDeserialisationError,
    NotSupportedError,
    ProgrammingError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresAggregateRecorder
from eventsourcing.projection import ApplicationSubscription

from domain.model import Recorded
from domain.task.events import TaskCompleted, TaskFact, TaskStarted
from domain.task.task import Task, evolve, replay
from infrastructure.event_log.codec import UnknownFact
from infrastructure.postgres.connections import service_dsn
from tests.support.databases import PREFIX, DatabaseServer
from tests.support.histories import filed, recorded
from tests.support.library import library_variables
from tests.support.logs import read, record
from tests.support.notes import Note, Noted, fold

STREAM = "task/0197b1c2-f000-7000-8000-000000000001"


@pytest.fixture
def app(database: str) -> Iterator[Application[str]]:
    with Application[str](library_variables(database)) as opened:
        yield opened


def tasks(task: Task | None, events: Iterable[Recorded[TaskFact]]) -> Task | None:
    for event in events:
        task = evolve(task, event)
    return task


def test_it_reads_our_streams_as_recorded_facts(app: Application[str], database: str) -> None:
    events = record(database, STREAM, filed(), TaskStarted())
    assert list(app.events.get(STREAM)) == events
    assert list(app.events.get(STREAM, gt=1)) == events[1:]
    assert list(app.events.get(STREAM, lte=1)) == events[:1]
    assert list(app.events.get(STREAM, desc=True, limit=1)) == events[1:]


def test_it_replays_our_tasks(app: Application[str], database: str) -> None:
    events = record(database, STREAM, filed(), TaskStarted(), TaskCompleted())
    assert app.repository.get(STREAM, projector_func=tasks) == replay(events)
    assert app.repository.get(STREAM, version=2, projector_func=tasks) == replay(events[:2])
    with pytest.raises(AggregateNotFoundError):
        app.repository.get("task/unknown", projector_func=tasks)


def test_its_notification_log_is_our_log(app: Application[str], database: str) -> None:
    events = record(database, STREAM, filed(), TaskStarted())
    notifications = app.notification_log.select(start=1, limit=10)
    assert [notification.id for notification in notifications] == [1, 2]
    assert [app.mapper.to_domain_event(notification) for notification in notifications] == events
    assert app.recorder.max_notification_id() == 2


def test_it_subscribes_and_sees_new_facts(app: Application[str], database: str) -> None:
    (first,) = record(database, STREAM, filed())
    with ApplicationSubscription(app, gt=0) as subscription, ThreadPoolExecutor() as other:
        try:
            event, tracking = other.submit(next, subscription).result(timeout=10)
            assert (event, tracking.notification_id) == (first, 1)
            awaited = other.submit(next, subscription)
            (second,) = record(database, STREAM, TaskStarted(), version=1)
            event, tracking = awaited.result(timeout=10)
            assert (event, tracking.notification_id) == (second, 2)
        finally:
            subscription.stop()


def test_facts_that_it_saves_are_our_facts(app: Application[str], database: str) -> None:
    facts = recorded([filed(), TaskStarted()], STREAM, organization_id=7)
    record(database, "task/another", filed())
    saved = app.save(*facts)
    assert [recording.notification.id for recording in saved] == [2, 3]
    events = read(database, STREAM)
    assert list(app.events.get(STREAM)) == list(events)
    assert [(event.fact, event.organization_id, event.actor) for event in events] == [
        (fact.fact, 7, "member/m1") for fact in facts
    ]
    assert all(datetime.now(UTC) - event.recorded_at < timedelta(minutes=1) for event in events), (
        "the log assigns the time"
    )


def test_a_conflict_is_its_integrity_error_and_leaves_no_gap(app: Application[str], database: str) -> None:
    record(database, STREAM, filed())
    with pytest.raises(IntegrityError, match=STREAM):
        app.save(*recorded([filed(), TaskStarted()], STREAM))
    (saved,) = app.save(recorded([filed(), TaskStarted()], STREAM)[1])
    assert saved.notification.id == 2


def test_its_own_kinds_of_events_are_stored_in_our_log_without_an_envelope(
    app: Application[str], database: str
) -> None:
    notes = [Noted("note/1", 1, "Milk"), Noted("note/1", 2, "Хлеб")]
    app.save(*notes)
    assert list(app.events.get("note/1")) == notes
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT notification_id, originator_id, organization_id, actor, reason, causation, correlation"
            " FROM perezvon_1.stored_events ORDER BY 1"
        ).fetchall()
    assert rows == [(1, "note/1", *[None] * 5), (2, "note/1", *[None] * 5)]


def test_it_takes_snapshots_into_a_table_of_their_own(database: str) -> None:
    with Application[str](library_variables(database) | {"IS_SNAPSHOTTING_ENABLED": "y"}) as app:
        app.save(Noted("note/1", 1, "Milk"), Noted("note/1", 2, "Bread"))
        app.take_snapshot("note/1", projector_func=fold)
        app.save(Noted("note/1", 3, "Salt"))
        assert app.snapshots is not None
        assert type(app.snapshots.recorder) is PostgresAggregateRecorder
        assert [snapshot.originator_version for snapshot in app.snapshots.get("note/1")] == [2]
        assert app.repository.get("note/1", projector_func=fold) == Note("note/1", 3, ["Milk", "Bread", "Salt"])
        assert app.recorder.max_notification_id() == 3


def test_it_works_with_the_login_of_the_running_service(database: str) -> None:
    with Application[str](library_variables(service_dsn(database))) as app:
        app.save(Noted("note/1", 1, "Milk"))
        assert list(app.events.get("note/1")) == [Noted("note/1", 1, "Milk")]


def test_a_fact_that_does_not_decode_as_its_tag_is_no_event(app: Application[str]) -> None:
    app.recorder.insert_events([StoredEvent(STREAM, 1, "task.filed.v1", b'{"type":"task.filed.v1"}')])
    with pytest.raises(UnknownFact):
        list(app.events.get(STREAM))


def test_a_fact_without_its_envelope_is_no_event(app: Application[str]) -> None:
    with pytest.raises(MapperDeserialisationError, match="envelope"):
        app.mapper.to_domain_event(StoredEvent(STREAM, 1, "task.started.v1", b'{"type":"task.started.v1"}'))


def test_a_requested_mapper_is_used(database: str) -> None:
    with Application[str](library_variables(database) | {"MAPPER_TOPIC": "eventsourcing.persistence:Mapper"}) as app:
        assert type(app.mapper) is Mapper


def test_stock_writes_of_every_recorder_use_the_append_function(app: Application[str]) -> None:
    factory: Any = app.factory
    for number, recorder in enumerate(
        (factory.aggregate_recorder(), factory.application_recorder(), factory.process_recorder()), 1
    ):
        assert recorder.insert_events([StoredEvent("note/1", number, "noted", b"{}")]) == [number]


REFUSED = {
    "streams named by UUIDs": ({"ORIGINATOR_ID_TYPE": "uuid"}, InfrastructureFactoryError, "ORIGINATOR_ID_TYPE=text"),
    "the library's insert function": ({"POSTGRES_ENABLE_DB_FUNCTIONS": "y"}, NotSupportedError, "would bypass it"),
    "a recorder that bypasses the append function": (
        {"APPLICATION_RECORDER_TOPIC": "eventsourcing.postgres:PostgresApplicationRecorder"},
        InfrastructureFactoryError,
        "would bypass",
    ),
}


@pytest.mark.parametrize(("variables", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused(database: str, variables: dict[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Application[str](library_variables(database) | variables)


def test_a_database_without_perezvon_is_refused(server: DatabaseServer) -> None:
    name = f"{PREFIX}{os.getpid()}_empty"
    try:
        with pytest.raises(ProgrammingError, match="perezvon migrate"):
            Application[str](library_variables(server.create_empty(name)))
    finally:
        server.drop(name)
