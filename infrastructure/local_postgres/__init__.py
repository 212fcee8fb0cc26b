"""A Postgres of our own on one machine: started by the first who needs it, stopped by the last who leaves.

In the data folder lie:

    lock    held while the server is started or stopped
    users   locked in common by all who use the server; the kernel lets go of it however a process ends
    own     0700, the server's: `data`, `log`, and the socket if the path is not too long for one
    18.6    as root, a copy of programs that the server's user cannot reach
"""

import atexit
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from typing import IO

import platformdirs
import psycopg

from application.ports.operations import LocalPostgresError
from infrastructure.local_postgres.server import Server

__all__ = ["LocalPostgresError", "default_home", "running", "start"]


def default_home() -> Path:
    """Return where the data goes if nobody says: `/var/lib/perezvon` for root, else the user's data folder."""
    return platformdirs.user_data_path("perezvon") if os.geteuid() else Path("/var/lib/perezvon")


def start(home: Path, *, options: str = "") -> str:
    """Start the server of a data folder, or join it if it runs, and remain its user until this process ends.

    Each forked process calls this itself: a lock is shared over fork.

    Args:
        home: the data folder; it is made if it is missing.
        options: more arguments for the command line of `postgres`, in case it is this call that starts it.

    Returns:
        The address of the database `perezvon` for its owner, the role `perezvon`, which is no superuser and
        may become `perezvon_app`.

    Raises:
        LocalPostgresError: no fitting programs are here, or the folder or the user will not do.
    """
    with _explained(home):
        home.mkdir(parents=True, exist_ok=True)
        with _entered(home) as server:
            server.start(options)
            server.prepare()
            return server.dsn("perezvon")


def running(home: Path) -> str | None:
    """Join the server of a data folder as `start` does, but only if it runs.

    Args:
        home: the data folder.

    Returns:
        The address that `start` returns, or None if no server runs there.

    Raises:
        LocalPostgresError: a server may be there, but it cannot be reached.
    """
    with _explained(home):
        if not (home / "own/data/postmaster.pid").exists():
            return None
        with _entered(home) as server:
            return None if server.state() else server.dsn("perezvon")


@contextmanager
def _explained(home: Path) -> Generator[None]:
    try:
        yield
    except (OSError, psycopg.Error) as error:
        advice = "Choose another data folder, or set PEREZVON_DATABASE_URL."
        raise LocalPostgresError(f"Postgres cannot run in {home}: {error}. {advice}") from error


@contextmanager
def _entered(home: Path) -> Generator[Server]:
    home = home.resolve()
    with ExitStack() as undo, _locked(home):
        users = undo.enter_context((home / "users").open("a"))
        flock(users, LOCK_SH)
        server = Server.of(home)
        yield server
        undo.pop_all()
        atexit.register(_leave, server, users)


@contextmanager
def _locked(home: Path) -> Generator[None]:
    with (home / "lock").open("a") as lock:
        flock(lock, LOCK_EX)
        yield


def _leave(server: Server, users: IO[str]) -> None:
    with users, _locked(server.home), suppress(BlockingIOError):  # others are still in
        flock(users, LOCK_EX | LOCK_NB)
        server.stop()
