"""A database for each test: cloned from a migrated template, on a server that forgoes durability for speed."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from infrastructure import local_postgres
from infrastructure.local_postgres import LocalPostgresError

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


@dataclass(frozen=True)
class DatabaseServer:
    """A server on which databases are made and dropped.

    `admin` may do both; `address` is for those who then own the databases.
    """

    admin: psycopg.Connection
    address: str
    owner: str
    strategy: str

    def create(self, name: str, *, template: str) -> str:
        """Make a database of a template to which nobody is connected, and return its address."""
        self._execute(f"create database {name} owner {self.owner} template {template}{self.strategy}")
        return make_conninfo(self.address, dbname=name)

    def create_empty(self, name: str) -> str:
        """Make an empty database and return its address."""
        self._execute(f"create database {name} owner {self.owner} encoding 'UTF8' template template0")
        return make_conninfo(self.address, dbname=name)

    def drop(self, name: str) -> None:
        """Drop a database; whoever is connected to it is thrown out."""
        self._execute(f"drop database {name} with (force)")

    def sweep(self) -> None:
        """Drop what killed runs left: a database carries the number of its process."""
        self._execute(f"select pg_advisory_lock({_SWEEPING})")
        names = self.admin.execute("select datname from pg_database where datname like %s", (f"{PREFIX}%",)).fetchall()
        for (name,) in names:
            if not Path("/proc", name.removeprefix(PREFIX).partition("_")[0]).exists():
                self.drop(name)
        self._execute(f"select pg_advisory_unlock({_SWEEPING})")

    def _execute(self, statement: str) -> None:
        self.admin.execute(statement.encode())


@contextmanager
def database_server() -> Generator[DatabaseServer]:
    """Lend the server of `PEREZVON_TEST_DATABASE_URL`, or else one of our own for all runs of this user.

    The role in that address may create databases and roles, and is a member of `perezvon_app` if that is there already.
    """
    given = os.environ.get("PEREZVON_TEST_DATABASE_URL")
    address = given or _own_server()
    with psycopg.connect(given or make_conninfo(address, user="postgres", dbname="postgres"), autocommit=True) as admin:
        unsafe = admin.execute("show fsync").fetchone() == ("off",)
        # Copying files pays only where nothing is written through to the disk.
        copies = unsafe and admin.info.server_version >= _FILE_COPY_SINCE
        owner = "default" if given else "perezvon"
        server = DatabaseServer(admin, address, owner, " strategy file_copy" if copies else "")
        if not given:
            server.sweep()
        yield server


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
