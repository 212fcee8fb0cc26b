"""A database for each test: cloned from a migrated template, on a server that forgoes durability for speed."""

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
_SWEEPING = 0x7377_6565  # an advisory lock's number
_FILE_COPY_SINCE = 150000
_PATIENCE = 30


class DatabaseServer:
    """A server on which databases are made and dropped; `admin` is a connection that may do both.

    A name gets the number of this process before it, unless it has that already: others use the server too.

    Databases are dropped in the background. Postgres waits with it until all its backends have taken note, and one to
    which a worker in the event loop of our tests is sending rows does so only once that loop runs again.
    """

    def __init__(self, admin: psycopg.Connection, dropping: psycopg.Connection, address: str, owner: str) -> None:
        """Use two connections which may make and drop databases; `address` is for `owner`, whom they will belong to."""
        self.admin = admin
        self.address = address
        self._dropping, self._owner = dropping, owner
        unsafe = admin.execute("show fsync").fetchone() == ("off",)
        # Copying files pays only where nothing is written through to the disk.
        copies = unsafe and admin.info.server_version >= _FILE_COPY_SINCE
        self._strategy = " strategy file_copy" if copies else ""
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._drops: dict[str, Future[None]] = {}

    def create(self, name: str, *, template: str) -> str:
        """Make a database of a template to which nobody is connected, and return its address."""
        return self._create(name, f"template {template}{self._strategy}")

    def create_empty(self, name: str) -> str:
        """Make an empty database and return its address."""
        return self._create(name, "encoding 'UTF8' template template0")

    def drop(self, name: str) -> None:
        """Have a database dropped; whoever is connected to it is thrown out."""
        self._drops[_ours(name)] = self._thread.submit(self._drop, _ours(name))

    def sweep(self) -> None:
        """Have dropped what killed runs left: a database carries the number of its process."""
        self._drops[""] = self._thread.submit(self._sweep)

    def finish(self) -> None:
        """Wait until all is dropped; what went wrong with it is raised here."""
        self._thread.shutdown()
        for drop in self._drops.values():
            drop.result()

    def _create(self, name: str, how: str) -> str:
        name = _ours(name)
        if earlier := self._drops.get(name):
            earlier.result(_PATIENCE)
        self.admin.execute(f"create database {name} owner {self._owner} {how}".encode())
        return make_conninfo(self.address, dbname=name)

    def _drop(self, name: str) -> None:
        self._dropping.execute(f"drop database if exists {name} with (force)".encode())

    def _sweep(self) -> None:
        self._dropping.execute("select pg_advisory_lock(%s)", (_SWEEPING,))
        found = self._dropping.execute("select datname from pg_database where datname like %s", (f"{PREFIX}%",))
        for (name,) in found.fetchall():
            if not Path("/proc", name.removeprefix(PREFIX).partition("_")[0]).exists():
                self._drop(name)
        self._dropping.execute("select pg_advisory_unlock(%s)", (_SWEEPING,))


def _ours(name: str) -> str:
    prefix = f"{PREFIX}{os.getpid()}"
    return name if name.startswith(prefix) else f"{prefix}_{name}"


@contextmanager
def database_server() -> Generator[DatabaseServer]:
    """Lend the server of `PEREZVON_TEST_DATABASE_URL`, or else one of our own for all runs of this user.

    The role in that address may create databases and roles, and is a member of `perezvon_app` if that is there already.
    """
    given = os.environ.get("PEREZVON_TEST_DATABASE_URL")
    address = given or _own_server()
    master = given or make_conninfo(address, user="postgres", dbname="postgres")
    with psycopg.connect(master, autocommit=True) as admin, psycopg.connect(master, autocommit=True) as dropping:
        server = DatabaseServer(admin, dropping, address, "default" if given else "perezvon")
        if not given:
            server.sweep()
        try:
            yield server
        finally:
            server.finish()


def home_of_tests() -> Path:
    """Return the data folder of our own test server: in memory, if there is room."""
    roomy = Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > _ROOMY
    return Path("/dev/shm" if roomy else "/var/tmp", f"perezvon-test-{os.geteuid()}")


def _own_server() -> str:
    home = home_of_tests()
    try:
        return local_postgres.start(home, options=FAST)
    except LocalPostgresError:
        with (home / "users").open("a") as users:  # broken, or of a version that is gone: worth nothing
            flock(users, LOCK_EX | LOCK_NB)
            shutil.rmtree(home / "own")
        return local_postgres.start(home, options=FAST)
