"""Other applications of the ``eventsourcing`` library in our database: their own logs, from the same template."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import (
    InfrastructureFactoryError,
    IntegrityError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from psycopg.sql import SQL, Identifier

from infrastructure.postgres.sql import LOG_TABLE, SCHEMA
from tests.support.histories import filed, recorded
from tests.support.library import library_variables
from tests.support.logs import record
from tests.support.notes import Note, Noted, fold


class Notes(Application[str]):
    pass


@pytest.fixture
def notes(database: str) -> Iterator[Notes]:
    with Notes(library_variables(database)) as opened:
        yield opened


_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull, collname, pg_get_expr(adbin, adrelid)
    FROM pg_attribute LEFT JOIN pg_collation c ON c.oid = attcollation
    LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
    WHERE attrelid = to_regclass(%(log)s || %(part)s) AND attnum > 0 ORDER BY attnum"""
_INDEXES = (
    "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass(%(log)s || %(part)s) ORDER BY 1"
)
_TRIGGERS = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = to_regclass(%(log)s || %(part)s) ORDER BY 1"
_FUNCTIONS = """
    SELECT pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace::regnamespace::text || '.' || proname IN (%(log)s || '_append', %(log)s || '_refuse') ORDER BY 1"""


def definitions(database: str, log: str) -> list[list[tuple[object, ...]]]:
    """Return the definitions of a log's tables, indexes, triggers and functions, without its name."""
    found: list[list[tuple[object, ...]]] = []
    with psycopg.connect(database) as connection:
        for query, part in (
            (_COLUMNS, ""),
            (_INDEXES, ""),
            (_TRIGGERS, ""),
            (_COLUMNS, "_claims"),
            (_INDEXES, "_claims"),
            (_FUNCTIONS, ""),
        ):
            rows = connection.execute(query.encode(), {"log": log, "part": part}).fetchall()
            schema, table = log.split(".")
            found.append([tuple(_unnamed(value, schema, table) for value in row) for row in rows])
    return found


def _unnamed(value: object, schema: str, table: str) -> object:
    return value.replace(schema, "SCHEMA").replace(table, "TABLE") if isinstance(value, str) else value


@pytest.mark.parametrize("schema", ["", "elsewhere"], ids=["our schema", "another schema"])
def test_their_tables_and_functions_are_created_from_our_template(database: str, schema: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE SCHEMA elsewhere")
    with Notes(library_variables(database) | {"POSTGRES_SCHEMA": schema}):
        ours = definitions(database, f"{SCHEMA}.{LOG_TABLE}")
        assert [len(part) for part in ours] == [11, 2, 1, 6, 2, 2]
        assert definitions(database, f"{schema or SCHEMA}.notes_events") == ours


def test_an_application_of_our_name_in_a_schema_of_its_own_has_a_log_of_its_own(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE SCHEMA elsewhere")
    record(database, "task/a", filed())
    with Application[str](library_variables(database) | {"POSTGRES_SCHEMA": "elsewhere"}) as app:
        assert app.recorder.max_notification_id() is None
        assert definitions(database, "elsewhere.stored_events") == definitions(database, f"{SCHEMA}.{LOG_TABLE}")


def test_their_events_are_in_their_own_log(notes: Notes, database: str) -> None:
    record(database, "task/a", filed())
    events = [Noted("note/1", 1, "Milk"), Noted("note/1", 2, "Bread")]
    assert [recording.notification.id for recording in notes.save(*events)] == [1, 2]
    assert list(notes.events.get("note/1")) == events
    assert list(notes.events.get("task/a")) == []
    with Application[str](library_variables(database)) as ours:
        assert ours.recorder.max_notification_id() == 1
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT organization_id, actor, reason, causation, correlation FROM perezvon_1.notes_events"
        ).fetchall()
    assert rows == [(None,) * 5] * 2


def test_their_conflicts_are_refused_too(notes: Notes) -> None:
    notes.save(Noted("note/1", 1, "Milk"))
    with pytest.raises(IntegrityError):
        notes.save(Noted("note/2", 1, "Salt"), Noted("note/1", 1, "Bread"))
    (saved,) = notes.save(Noted("note/2", 1, "Salt"))
    assert saved.notification.id == 2


def test_their_snapshots_work_as_in_the_library(database: str) -> None:
    with Notes(library_variables(database) | {"IS_SNAPSHOTTING_ENABLED": "y"}) as notes:
        notes.save(Noted("note/1", 1, "Milk"))
        notes.take_snapshot("note/1", projector_func=fold)
        notes.save(Noted("note/1", 2, "Bread"))
        assert notes.snapshots is not None
        assert [snapshot.originator_version for snapshot in notes.snapshots.get("note/1")] == [1]
        assert notes.repository.get("note/1", projector_func=fold) == Note("note/1", 2, ["Milk", "Bread"])


def test_they_may_open_their_log_again_and_all_at_once(database: str) -> None:
    def open_and_save(number: int) -> None:
        with Notes(library_variables(database)) as opened:
            opened.save(Noted(f"note/{number}", 1, "Milk"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_and_save, range(4)))
    with Notes(library_variables(database)) as opened:
        assert opened.recorder.max_notification_id() == 4


def test_tracking_and_events_are_recorded_both_or_neither(notes: Notes) -> None:
    recorder = notes.factory.process_recorder()
    event = StoredEvent("note/1", 1, "noted", b"{}")
    assert recorder.insert_events([event], tracking=Tracking("upstream", 5)) == [1]
    with pytest.raises(IntegrityError):
        recorder.insert_events([event], tracking=Tracking("upstream", 6))
    assert recorder.max_tracking_id("upstream") == 5
    with pytest.raises(IntegrityError):
        recorder.insert_events([StoredEvent("note/2", 1, "noted", b"{}")], tracking=Tracking("upstream", 5))
    assert notes.recorder.max_notification_id() == 1


def test_our_facts_do_not_enter_their_logs(notes: Notes) -> None:
    with pytest.raises(TypeError):
        notes.save(*recorded([filed()]))
    assert notes.recorder.max_notification_id() is None


@pytest.mark.parametrize("name", ["Shop.Orders", "заметки", 'quoted "name"', "bob's"])
def test_any_name_is_accepted(database: str, name: str) -> None:
    named = type("Named", (Application,), {"name": name})
    with named(library_variables(database)) as app, app.recorder.subscribe(gt=0) as subscription:
        app.save(Noted("note/1", 1, "Milk"))
        assert next(subscription).id == 1
    with psycopg.connect(database) as connection:
        table = Identifier(SCHEMA, f"{name.lower()}_events")
        assert connection.execute(SQL("SELECT count(*) FROM {}").format(table)).fetchone() == (1,)


def test_a_name_that_would_share_our_table_is_refused(database: str) -> None:
    stored = type("Stored", (Application,), {})
    with pytest.raises(InfrastructureFactoryError, match="rename"):
        stored(library_variables(database))


def test_a_name_too_long_for_postgres_is_refused(database: str) -> None:
    named = type("Named", (Application,), {"name": "ж" * 25})
    with pytest.raises(ProgrammingError, match="too long"):
        named(library_variables(database))
