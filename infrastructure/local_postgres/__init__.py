"""A Postgres server of our own on one machine: the first process that needs it starts it, the last one stops it.

    programs  find the programs of Postgres, and the user to run them as
    server    one server in its data folder: create, start, examine, stop

The data folder contains:

    lock    held while the server is started or stopped
    users   shared lock of all processes that use the server; the kernel releases it however a process ends
    own     0700, owned by the server's user: `data`, `log`, and the socket unless the path is too long for one
    18.6    as root, a copy of programs that the server's user cannot reach
"""

import atexit
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from pwd import struct_passwd
from typing import IO

import platformdirs
import psycopg

from application.errors import StorageUnavailable
from application.ports.operations import LocalPostgresError, UnsuitableDatabase
from infrastructure.local_postgres import programs
from infrastructure.local_postgres.server import Server

__all__ = ["LocalPostgresError", "default_home", "running", "server_user", "start"]


def default_home() -> Path:
    """Return the default data folder: `/var/lib/perezvon` for root, else a folder in the user's data folder."""
    return platformdirs.user_data_path("perezvon") if os.geteuid() else Path("/var/lib/perezvon")


def start(home: Path, *, options: str = "") -> str:
    """Start the server of a data folder, or join it if it runs, and use it until this process ends.

    Each forked process must call this itself: a lock is shared across fork.

    Args:
        home: the data folder; it is created if it is missing.
        options: more arguments for the command line of `postgres`, if it is this call that starts the server.

    Returns:
        The connection string of the database `perezvon` for its owner, the login `perezvon`, which is not a superuser.
        The service's login is `perezvon_app`. Neither needs a password: only the server's user, and root, can reach the
        socket, and such a user could read the data files in any case.

    Raises:
        LocalPostgresError: no suitable programs are installed, or the folder or the user is not suitable.
    """
    with _translate_errors(home):
        home.mkdir(parents=True, exist_ok=True)
        with _join(home) as server:
            server.start(options)
            server.prepare()
            return server.dsn("perezvon")


def running(home: Path) -> str | None:
    """Join the server of a data folder as `start` does, but do not start it.

    Args:
        home: the data folder.

    Returns:
        The connection string that `start` returns, or None if no server runs there.

    Raises:
        LocalPostgresError: a server may be running, but it cannot be reached.
    """
    with _translate_errors(home):
        if not (home / "own/data/postmaster.pid").exists():
            return None
        with _join(home) as server:
            return None if server.state() else server.dsn("perezvon")


def server_user(home: Path) -> struct_passwd | None:
    """Return the user that runs the server of a data folder, if this process is root; else None.

    Raises LocalPostgresError.
    """
    with _translate_errors(home):
        return programs.server_user((home / "own").stat().st_uid)


@contextmanager
def _translate_errors(home: Path) -> Generator[None]:
    try:
        yield
    except (OSError, psycopg.Error, StorageUnavailable, UnsuitableDatabase) as error:
        advice = "Choose another data folder, or set PEREZVON_DATABASE_URL."
        raise LocalPostgresError(f"Postgres cannot run in {home}: {error}. {advice}") from error


@contextmanager
def _join(home: Path) -> Generator[Server]:
    home = home.resolve()
    with ExitStack() as stack, _locked(home):
        users = stack.enter_context((home / "users").open("a"))
        flock(users, LOCK_SH)
        server = Server.of(home)
        if user := server.programs.user:  # processes of root may give up its rights, and use the server as its user
            for name in ("lock", "users"):
                os.chown(home / name, user.pw_uid, user.pw_gid)
        yield server
        stack.pop_all()
        atexit.register(_leave, server, users)


@contextmanager
def _locked(home: Path) -> Generator[None]:
    with (home / "lock").open("a") as lock:
        flock(lock, LOCK_EX)
        yield


def _leave(server: Server, users: IO[str]) -> None:
    with users, _locked(server.home), suppress(BlockingIOError):  # other processes still use it
        flock(users, LOCK_EX | LOCK_NB)
        server.stop()
