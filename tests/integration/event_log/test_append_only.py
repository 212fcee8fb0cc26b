"""The log is append-only for every role, and events enter it through one function."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, IntegrityConstraintViolation

from infrastructure.postgres.connections import service_dsn
from tests.support.histories import filed
from tests.support.logs import record

CHANGES = {
    "UPDATE": b"UPDATE perezvon_1.stored_events SET state = '{}'",
    "an UPDATE of nothing": b"UPDATE perezvon_1.stored_events SET state = '{}' WHERE false",
    "DELETE": b"DELETE FROM perezvon_1.stored_events",
    "TRUNCATE": b"TRUNCATE perezvon_1.stored_events",
}
INSERT = (
    b"INSERT INTO perezvon_1.stored_events (notification_id, recorded_at, originator_id, originator_version, topic, state)"
    b" VALUES (2, now(), 'task/b', 1, 'task.started.v1', '{}')"
)
BYPASSES = {
    "INSERT": INSERT,
    "COPY": b"COPY perezvon_1.stored_events FROM STDIN",
    "switching the trigger off": b"ALTER TABLE perezvon_1.stored_events DISABLE TRIGGER append_only",
    "another append function": b"CREATE OR REPLACE FUNCTION perezvon_1.stored_events_refuse() RETURNS trigger LANGUAGE sql AS ''",
    "another number": b"UPDATE perezvon_1.log_identity SET since_position = 2",
}


@pytest.fixture
def log(database: str) -> Iterator[str]:
    """Yield a log with one event, and check that it holds the same one afterwards."""
    before = record(database, "task/a", filed())
    yield database
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT notification_id, originator_id FROM perezvon_1.stored_events").fetchall()
    assert rows == [(event.position, event.stream) for event in before]


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_the_owner_cannot_change_what_is_recorded(log: str, statement: bytes) -> None:
    with psycopg.connect(log) as owner, pytest.raises(InsufficientPrivilege, match="append-only"):
        owner.execute(statement)


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_the_service_has_not_even_the_right(log: str, statement: bytes) -> None:
    with psycopg.connect(service_dsn(log)) as service, pytest.raises(InsufficientPrivilege, match="permission denied"):
        service.execute(statement)


@pytest.mark.parametrize("statement", BYPASSES.values(), ids=BYPASSES)
def test_the_service_cannot_bypass_the_append_function(log: str, statement: bytes) -> None:
    with psycopg.connect(service_dsn(log)) as service, pytest.raises(InsufficientPrivilege):
        service.execute(statement)


def test_only_the_service_may_execute_the_append_function(log: str) -> None:
    with psycopg.connect(log) as connection:
        row = connection.execute(
            "SELECT array(SELECT grantee::regrole::text FROM aclexplode(proacl) WHERE grantee <> proowner)"
            " FROM pg_proc WHERE proname = 'stored_events_append'"
        ).fetchone()
    assert row == (["perezvon_app"],)


@pytest.mark.parametrize("version", [-5, 0, 3, 1000])
@pytest.mark.parametrize(("stream", "organization"), [("task/a", "1"), ("task/a", "NULL"), ("task/new", "1")])
def test_the_service_cannot_append_an_event_without_its_predecessor(
    log: str, stream: str, organization: str, version: int
) -> None:
    with (
        psycopg.connect(service_dsn(log)) as service,
        pytest.raises(IntegrityConstraintViolation, match="no predecessor"),
    ):
        service.execute(
            "SELECT verdict FROM perezvon_1.stored_events_append(%s, %s, %s, '{x}', ARRAY['{}'::bytea], %s,"
            " '{NULL}', '{NULL}', '{NULL}', '{NULL}')",
            ("{1}", f"{{{stream}}}", f"{{{version}}}", f"{{{organization}}}"),
        )
