"""What is in the log stays as it is, whoever asks, and there is one way in."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

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
GOING_ROUND = {
    "INSERT": INSERT,
    "COPY": b"COPY perezvon_1.stored_events FROM STDIN",
    "switching the trigger off": b"ALTER TABLE perezvon_1.stored_events DISABLE TRIGGER append_only",
    "another door": b"CREATE OR REPLACE FUNCTION perezvon_1.stored_events_refuse() RETURNS trigger LANGUAGE sql AS ''",
    "another number": b"UPDATE perezvon_1.log_identity SET since_position = 2",
}


@pytest.fixture
def log(database: str) -> Iterator[str]:
    """A log with one event, which is still the same one afterwards."""
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


@pytest.mark.parametrize("statement", GOING_ROUND.values(), ids=GOING_ROUND)
def test_the_service_cannot_go_round_the_door(log: str, statement: bytes) -> None:
    with psycopg.connect(service_dsn(log)) as service, pytest.raises(InsufficientPrivilege):
        service.execute(statement)


def test_the_door_is_open_to_the_service_and_to_nobody_else(log: str) -> None:
    with psycopg.connect(log) as connection:
        row = connection.execute(
            "SELECT array(SELECT grantee::regrole::text FROM aclexplode(proacl) WHERE grantee <> proowner)"
            " FROM pg_proc WHERE proname = 'stored_events_append'"
        ).fetchone()
    assert row == (["perezvon_app"],)
