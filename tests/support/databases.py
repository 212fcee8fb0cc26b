"""A database for each test: cloned from a migrated template, on a server without durability, for speed."""

import os
import shutil
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from application.ports.operations import LocalPostgresError
from infrastructure import local_postgres
from infrastructure.postgres.roles import set_up_service_login

PREFIX = "perezvon_t"
FAST = " ".join(
    f"-c {setting}"
    for setting in (
        "fsync=off",
        "full_page_writes=off",
        "synchronous_commit=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        "autovacuum=off",
        "log_checkpoints=off",
        "max_connections=200",
    )
)
_ROOMY = 1 << 30  # a container's /dev/shm has 64 MB
_SWEEP_LOCK = 0x7377_6565  # key of an advisory lock
_FILE_COPY_SINCE = 150000
_GIVEN_OWNER = "default"
_DROP_TIMEOUT_S = 30


class DatabaseServer:
    """A server on which databases are created and dropped; `admin` is a connection that may do both.

    Names get the pid of this process as prefix, unless they have it already: other test runs use the server too.

    Databases are dropped in the background. A drop waits until all backends of Postgres have acknowledged it, and a
    backend that is sending rows to a worker in the event loop of our tests does so only when that loop runs again.
    """

    def __init__(self, admin: psycopg.Connection, dropping: psycopg.Connection, address: str, owner: str) -> None:
        """Use two connections that may create and drop databases; `address` is for `owner`, the owner of new databases."""
        self.admin = admin
        self.is_given = owner == _GIVEN_OWNER
        self.address = address
        self._dropping, self._owner = dropping, owner
        unsafe = admin.execute("show fsync").fetchone() == ("off",)
        # Copying files is faster only if fsync is off.
        copies = unsafe and admin.info.server_version >= _FILE_COPY_SINCE
        self._strategy = " strategy file_copy" if copies else ""
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._drops: dict[str, Future[None]] = {}

    def create(self, name: str, *, template: str) -> str:
        """Create a database from a template without connections, and return its address."""
        return self._create(name, f"template {template}{self._strategy}")

    def create_empty(self, name: str) -> str:
        """Create an empty database and return its address."""
        return self._create(name, "encoding 'UTF8' template template0")

    def drop(self, name: str) -> None:
        """Drop a database in the background, and end the connections to it."""
        self._drops[_prefixed(name)] = self._thread.submit(self._drop, _prefixed(name))

    def sweep(self) -> None:
        """Drop the databases of killed test runs in the background: names contain the pid of the run."""
        self._drops[""] = self._thread.submit(self._sweep)

    def finish(self) -> None:
        """Wait until all databases are dropped; raise the errors of drops."""
        self._thread.shutdown()
        for drop in self._drops.values():
            drop.result()

    def _create(self, name: str, how: str) -> str:
        name = _prefixed(name)
        if earlier := self._drops.get(name):
            earlier.result(_DROP_TIMEOUT_S)
        self.admin.execute(f"create database {name} owner {self._owner} {how}".encode())
        return make_conninfo(self.address, dbname=name)

    def _drop(self, name: str) -> None:
        self._dropping.execute(f"drop database if exists {name} with (force)".encode())

    def _sweep(self) -> None:
        self._dropping.execute("select pg_advisory_lock(%s)", (_SWEEP_LOCK,))
        found = self._dropping.execute("select datname from pg_database where datname like %s", (f"{PREFIX}%",))
        for (name,) in found.fetchall():
            if not Path("/proc", name.removeprefix(PREFIX).partition("_")[0]).exists():
                self._drop(name)
        self._dropping.execute("select pg_advisory_unlock(%s)", (_SWEEP_LOCK,))


def _prefixed(name: str) -> str:
    prefix = f"{PREFIX}{os.getpid()}"
    return name if name.startswith(prefix) else f"{prefix}_{name}"


@contextmanager
def database_server() -> Generator[DatabaseServer]:
    """Yield the server of `PEREZVON_TEST_DATABASE_URL`, or else our own one for all test runs of this user.

    The login in that address must be a superuser, or be able to create databases and roles. The service's login gets its
    password.
    """
    given = os.environ.get("PEREZVON_TEST_DATABASE_URL")
    address = given or _own_server()
    master = given or make_conninfo(address, user="postgres", dbname="postgres")
    with psycopg.connect(master, autocommit=True) as admin, psycopg.connect(master, autocommit=True) as dropping:
        server = DatabaseServer(admin, dropping, address, _GIVEN_OWNER if given else "perezvon")
        if given:
            set_up_service_login(admin, admin.info.password or None)
        else:
            server.sweep()
        try:
            yield server
        finally:
            server.finish()


def home_of_tests() -> Path:
    """Return the data folder of our own test server: in memory, if there is enough."""
    roomy = Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > _ROOMY
    return Path("/dev/shm" if roomy else "/var/tmp", f"perezvon-test-{os.geteuid()}")


def _own_server() -> str:
    home = home_of_tests()
    try:
        return local_postgres.start(home, options=FAST)
    except LocalPostgresError:
        with (home / "users").open("a") as users:  # damaged, or of a version that is not installed any more
            flock(users, LOCK_EX | LOCK_NB)
            shutil.rmtree(home / "own")
        return local_postgres.start(home, options=FAST)
