"""The service's login: no statement of its session gives it more rights than it has."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege

from infrastructure.postgres.connections import service_dsn
from infrastructure.postgres.migrations import migrate
from tests.support.histories import filed
from tests.support.logs import record

CHANGE = b"UPDATE perezvon_1.stored_events SET state = '{}'"
RESETS = {
    "SET ROLE NONE": b"SET ROLE NONE",
    "RESET ROLE": b"RESET ROLE",
    "RESET ALL": b"RESET ALL",
    "DISCARD ALL": b"DISCARD ALL",
    "RESET SESSION AUTHORIZATION": b"RESET SESSION AUTHORIZATION",
}
REFUSED = {
    "SET ROLE owner": "SET ROLE {owner}",
    "SET SESSION AUTHORIZATION": "SET SESSION AUTHORIZATION {owner}",
    "a superuser's role": "SET ROLE postgres",
    "a role of its own making": "CREATE ROLE intruder SUPERUSER",
    "more rights": "GRANT {owner} TO perezvon_app",
    "a table in the schema": "CREATE TABLE perezvon_1.mine ()",
    "a table in public": "CREATE TABLE public.mine ()",
    "a temporary table": "CREATE TEMPORARY TABLE mine ()",
    "a schema": "CREATE SCHEMA mine",
    "an extension": "CREATE EXTENSION dblink",
    "a function": "CREATE FUNCTION perezvon_1.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a program on the server": "COPY (SELECT 1) TO PROGRAM 'true'",
    "a program's output": "COPY perezvon_1.checkpoints FROM PROGRAM 'true'",
    "a file of the server": "SELECT pg_read_file('PG_VERSION')",
    "a folder of the server": "SELECT pg_ls_dir('.')",
    "a large object from a file": "SELECT lo_import('PG_VERSION')",
    "password hashes": "SELECT rolpassword FROM pg_authid",
    "settings of the server": "ALTER SYSTEM SET fsync = off",
    "triggers off for the session": "SET session_replication_role = replica",
    "the trigger's table": "ALTER TABLE perezvon_1.stored_events DISABLE TRIGGER append_only",
    "the trigger": "DROP TRIGGER append_only ON perezvon_1.stored_events",
    "the trigger's function": "DROP FUNCTION perezvon_1.stored_events_refuse CASCADE",
    "the append function": "ALTER FUNCTION perezvon_1.stored_events_append RESET ALL",
    "a lock on the log": "DO $$ BEGIN LOCK TABLE perezvon_1.stored_events IN SHARE MODE; END $$",
    "INSERT into the log": (
        "INSERT INTO perezvon_1.stored_events (notification_id, recorded_at, originator_id, originator_version, topic, state)"
        " VALUES (2, now(), 'task/b', 1, 'task.started.v1', '{{}}')"
    ),
    "UPDATE of the log": "UPDATE perezvon_1.stored_events SET state = '{{}}'",
    "DELETE from the log": "DELETE FROM perezvon_1.stored_events",
    "TRUNCATE of the log": "TRUNCATE perezvon_1.stored_events",
    "a record lock in the log": "SELECT FROM perezvon_1.stored_events FOR UPDATE",
    "an organisation": "INSERT INTO perezvon_1.organizations VALUES (129, 'X', '{{}}', now())",
    "a member": "INSERT INTO perezvon_1.members VALUES ('m', 1, 'X', 'admin')",
    "another role": "UPDATE perezvon_1.members SET role = 'admin'",
    "an operator": "INSERT INTO perezvon_1.operators (organization_id, number, name) VALUES (1, 1, 'X')",
    "another key": "UPDATE perezvon_1.operators SET key_hash = 'x'",
    "a token": (
        "INSERT INTO perezvon_1.tokens (id, organization_id, role, secret_hash, issued_at) VALUES ('t', 1, 'admin', 'x', now())"
    ),
    "another hash": "UPDATE perezvon_1.tokens SET secret_hash = 'x'",
    "a token without its end": "UPDATE perezvon_1.tokens SET revoked_at = NULL, expires_at = NULL",
    "a token less": "DELETE FROM perezvon_1.tokens",
    "no tokens": "TRUNCATE perezvon_1.tokens",
    "the lock of the log's writers": "SELECT FROM perezvon_1.stored_events_door FOR UPDATE",
    "a lock on that table": "DO $$ BEGIN LOCK TABLE perezvon_1.stored_events_door IN ACCESS SHARE MODE; END $$",
    "idempotency keys": "INSERT INTO perezvon_1.stored_events_claims VALUES ('a', 'b', 'c', 1, 1, now())",
    "forged migrations": "INSERT INTO perezvon_1.migrations (number, name) VALUES (99, 'x')",
}


@pytest.fixture
def service(database: str) -> Iterator[psycopg.Connection]:
    """Yield a session of the service on a log with one event; check that the log and the rights are the same afterwards."""
    migrate(database)  # rights on a database are not copied from the template
    before = record(database, "task/a", filed())
    with psycopg.connect(service_dsn(database), autocommit=True) as connection:
        yield connection
        assert connection.execute("SELECT session_user::text, current_user::text").fetchone() == ("perezvon_app",) * 2
    with psycopg.connect(database) as owner:
        rows = owner.execute("SELECT notification_id, originator_id FROM perezvon_1.stored_events").fetchall()
        assert rows == [(event.position, event.stream) for event in before]


@pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS)
def test_a_reset_of_the_session_leaves_it_the_service(service: psycopg.Connection, reset: bytes) -> None:
    service.execute(reset)
    with pytest.raises(InsufficientPrivilege, match="permission denied"):
        service.execute(CHANGE)


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED)
def test_the_session_is_refused(service: psycopg.Connection, database: str, statement: str) -> None:
    owner = conninfo_to_dict(database).get("user", "postgres")
    with pytest.raises((InsufficientPrivilege, psycopg.errors.InvalidRoleSpecification)):
        service.execute(statement.format(owner=owner).encode())


def test_a_fact_under_another_tag_is_refused_with_its_row(service: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        service.execute(
            "SELECT perezvon_1.record_access(129, 0, ARRAY['organization.token_issued.v1'],"
            """ ARRAY['{"type":"organization.member_removed.v1","member_id":"m"}'::bytea], '[null]', NULL, NULL, NULL, NULL)"""
        )
    assert service.execute("SELECT count(*) FROM perezvon_1.tokens").fetchone() == (0,)


@pytest.mark.parametrize(
    "function", ["perezvon_1.stored_events_append", "perezvon_1.stored_events_refuse", "perezvon_1.record_access"]
)
def test_functions_of_the_owner_search_no_schema_of_a_caller_and_are_not_public(database: str, function: str) -> None:
    with psycopg.connect(database) as owner:
        row = owner.execute(
            "SELECT prosecdef, proconfig, (SELECT count(*) FROM aclexplode(proacl) WHERE grantee = 0)"
            " FROM pg_proc WHERE oid = %s::regproc",
            (function,),
        ).fetchone()
    assert row is not None
    is_definer, settings, grants_to_public = row
    assert grants_to_public == 0
    assert not is_definer or "search_path=pg_catalog, pg_temp" in settings


def test_advisory_locks_of_another_login_do_not_block_the_log(service: psycopg.Connection, database: str) -> None:
    with psycopg.connect(service_dsn(database)) as other:
        # The lock that the append function took once, in all keys that it could have had.
        other.execute(
            "SELECT pg_advisory_lock(x'70657265'::int, oid::bigint::bit(32)::int) FROM pg_class"
            " WHERE relnamespace = 'perezvon_1'::regnamespace"
        )
        service.execute("SET statement_timeout = '30s'")
        appended = service.execute(
            "SELECT verdict FROM perezvon_1.stored_events_append("
            "'{1}', '{task/a}', '{1}', '{x}', ARRAY['{}'::bytea], '{1}', '{NULL}', '{NULL}', '{NULL}', '{NULL}')"
        ).fetchone()
    assert appended == ("conflict",)
