"""The two logins: how they are created, and which of them a process accepts."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from application.errors import StorageNeedsAttention
from application.ports.operations import ServiceLoginMissing, UnsuitableDatabase
from infrastructure.postgres import roles, service_login
from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.postgres.migrations import migrate
from infrastructure.postgres.probe import examine_login
from infrastructure.postgres.service_login import log_in_as_service, password_of_service
from infrastructure.postgres.sessions import REQUEST, open_connection
from tests.support.databases import DatabaseServer

pytestmark = pytest.mark.anyio

LOGIN = f"perezvon_t{os.getpid()}_service"


@pytest.fixture
def admin(server: DatabaseServer, database: str) -> str:
    """Return the address of the test's database for a login that may create roles."""
    return make_conninfo(database, **({} if server.is_given else {"user": "postgres"}))


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch, admin: str) -> Iterator[str]:
    """Rename the service's login for this test, because other test runs on this server use theirs; drop it afterwards."""
    monkeypatch.setattr(roles, "APP_ROLE", LOGIN)
    monkeypatch.setattr(service_login, "APP_ROLE", LOGIN)
    monkeypatch.setattr("infrastructure.postgres.connections.APP_ROLE", LOGIN)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {LOGIN}".encode())
        yield LOGIN
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (LOGIN,)).fetchone():
            connection.execute(f"DROP OWNED BY {LOGIN}; DROP ROLE {LOGIN}".encode())


def test_a_login_is_made_once_and_its_password_is_kept_for_its_user_only(
    admin: str, login: str, tmp_path: Path
) -> None:
    migrate(admin)
    first = log_in_as_service(admin, tmp_path, renew=True)
    assert conninfo_to_dict(first)["user"] == login
    (kept,) = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert password_of_service(first) == kept.read_text()
    assert log_in_as_service(admin, tmp_path, renew=False) == first
    assert examine_login(first) is None


def test_each_start_sets_a_new_password(admin: str, login: str, tmp_path: Path) -> None:
    migrate(admin)
    first, second = (log_in_as_service(admin, tmp_path, renew=True) for _ in range(2))
    assert password_of_service(first) != password_of_service(second)
    with psycopg.connect(admin) as connection:
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (login,)).fetchone()
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")


def test_a_password_that_processes_use_is_not_changed_by_a_command(
    admin: str, login: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(admin)
    used = log_in_as_service(admin, tmp_path / "theirs", renew=True)
    monkeypatch.setattr(service_login, "_working", _no_login)  # the server of the tests may accept any password
    with psycopg.connect(used), pytest.raises(ServiceLoginMissing, match="PEREZVON_OWNER_URL"):
        log_in_as_service(admin, tmp_path / "ours", renew=False)
    assert not (tmp_path / "ours").exists()


def _no_login(_owner: str, _password: str | None) -> None:
    return None


def test_an_owner_who_may_not_create_roles_gets_the_statement_to_run(
    server: DatabaseServer, login: str, database: str
) -> None:
    if server.is_given:
        pytest.skip("the given login may create roles")
    with pytest.raises(ServiceLoginMissing, match=f"CREATE ROLE {login} LOGIN PASSWORD"):
        migrate(database)


def test_migrations_create_the_login_with_the_password_of_its_address(admin: str, login: str) -> None:
    address = service_dsn(admin, "from the address")
    migrate(admin, password_of_service(address))
    with psycopg.connect(admin) as connection:
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (login,)).fetchone()
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")


@pytest.mark.parametrize("suffix", ["__new", "__old"])
def test_the_service_writes_to_no_table_of_access_that_a_rebuild_made_or_replaced(database: str, suffix: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"CREATE TABLE perezvon_1.tokens{suffix} (LIKE perezvon_1.tokens)".encode())
        migrate(database)
        assert roles.excess_privileges(owner) == []
        may = owner.execute(
            "SELECT has_table_privilege(%s, %s, 'SELECT'), has_table_privilege(%s, %s, 'INSERT, UPDATE, DELETE')",
            (roles.APP_ROLE, f"perezvon_1.tokens{suffix}") * 2,
        ).fetchone()
        assert may == (True, False)
        owner.execute(f"GRANT INSERT ON perezvon_1.tokens{suffix} TO {roles.APP_ROLE}".encode())
        assert roles.excess_privileges(owner) == [f"writing to tokens{suffix}"]


def test_the_rights_of_a_second_login_of_the_service_are_examined_too(admin: str, database: str, login: str) -> None:
    migrate(admin)
    twin = f"{login}_twin"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {twin} LOGIN PASSWORD 'twin' IN ROLE {login}".encode())
        try:
            with psycopg.connect(make_conninfo(database, user=twin, password="twin")) as session:
                assert roles.excess_privileges(session) == []
            connection.execute(f"GRANT pg_write_all_data TO {twin}".encode())
            with psycopg.connect(make_conninfo(database, user=twin, password="twin")) as session:
                found = roles.excess_privileges(session)
            assert found[0] == "the role pg_write_all_data"
            assert "writing to stored_events" in found
        finally:
            connection.execute(f"DROP ROLE {twin}".encode())


def test_the_excess_of_a_login_is_named(admin: str, database: str, server: DatabaseServer) -> None:
    assert examine_login(service_dsn(database)) is None
    assert examine_login(admin) == roles.SUPERUSER
    if not server.is_given:
        assert examine_login(database) == "has the rights of the owner of the event log"


async def test_each_new_connection_of_the_service_is_refused_once_its_login_has_gained_rights(
    admin: str, login: str, tmp_path: Path, database: str
) -> None:
    migrate(admin)
    dsn = log_in_as_service(admin, tmp_path, renew=True)
    owner = conninfo_to_dict(database)["user"]
    with psycopg.connect(admin, autocommit=True) as connection:
        for gain, excess, loss in (
            (
                f"GRANT {owner} TO {login}",
                "has the rights of the owner of the event log",
                f"REVOKE {owner} FROM {login}",
            ),
            (f"ALTER ROLE {login} SUPERUSER", "is a superuser", f"ALTER ROLE {login} NOSUPERUSER"),
            (
                f"ALTER SCHEMA perezvon_1 OWNER TO {login}",  # it may drop the schema, with the log
                "has the rights of the owner of the event log",
                f"ALTER SCHEMA perezvon_1 OWNER TO {owner}; GRANT USAGE ON SCHEMA perezvon_1 TO {login}",
            ),
            (
                f"ALTER DATABASE {connection.info.dbname} OWNER TO {login}",
                "has the rights of the owner of the database",
                f"ALTER DATABASE {connection.info.dbname} OWNER TO {owner}",
            ),
            (
                f"GRANT pg_execute_server_program TO {login}",
                "may become a superuser",
                f"REVOKE pg_execute_server_program FROM {login}",
            ),
            (f"GRANT {_superuser(connection)} TO {login}", "may become a superuser", f"ALTER ROLE {login} NOLOGIN"),
        ):
            await _use(dsn)
            connection.execute(gain.encode())
            with pytest.raises(StorageNeedsAttention, match=excess) as refused:
                await _use(dsn)
            assert refused.value.reason == "the database does not suit the service"
            with pytest.raises(UnsuitableDatabase, match=excess):
                async with open_connection(dsn, REQUEST, "test", allow_owner=False):
                    pass
            await _use(dsn, allow_owner=True)
            connection.execute(loss.encode())


def _superuser(connection: psycopg.Connection) -> str:
    row = connection.execute("SELECT quote_ident(rolname) FROM pg_roles WHERE rolsuper LIMIT 1").fetchone()
    assert row
    return row[0]


async def _use(dsn: str, *, allow_owner: bool = False) -> None:
    pool = Pool(dsn, size=1, name="test", allow_owner=allow_owner)
    try:
        async with pool.connection():
            pass
    finally:
        await pool.close()
