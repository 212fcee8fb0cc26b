"""One Postgres server in its data folder: create, start, examine, stop."""

import os
import shlex
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pwd import struct_passwd
from subprocess import CompletedProcess
from tempfile import mkdtemp
from time import monotonic, sleep

import psycopg
from psycopg.conninfo import make_conninfo

from application.ports.operations import LocalPostgresError
from infrastructure.local_postgres import programs
from infrastructure.local_postgres.programs import Programs
from infrastructure.postgres.sessions import MAINTENANCE, open_blocking_connection

_PORT = "5432"  # names the socket only; stated because PGPORT would change it
_LONGEST_FOLDER = 103 - len(f"/.s.PGSQL.{_PORT}")  # on macOS; Linux allows four bytes more
_LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"  # with "C", trigrams and ILIKE ignore Cyrillic
_LARGE_LOG = 10_000_000  # bytes
_START_TIMEOUT_S = 60.0
_PAUSE_S = 0.3
_RECOVERING = 1  # exit code of pg_isready
_SOCKET_LINE = 4  # of the pid file, counted from 0
_IS_PREPARED = """
    select exists (select from pg_database where datname = 'perezvon')
        and exists (select from pg_roles where rolname = 'perezvon_app' and rolcanlogin)
"""


def _change_owner(path: Path, user: struct_passwd | None) -> None:
    if user:
        os.chown(path, user.pw_uid, user.pw_gid)


@dataclass(frozen=True)
class Server:
    """The server of one data folder. Hold the folder's lock to use it."""

    home: Path
    programs: Programs

    @classmethod
    def of(cls, home: Path) -> "Server":
        """Choose user and programs for a data folder, and prepare the folder around its data.

        Raises:
            LocalPostgresError: there is no suitable user or program, or the user cannot enter the folder.
        """
        own, version = home / "own", home / "own/data/PG_VERSION"
        own.mkdir(exist_ok=True)
        own.chmod(0o700)  # makes the authentication method `trust` safe
        user = programs.server_user(own.stat().st_uid)
        _change_owner(own, user)
        programs.grant_access(user, home, own)
        major = int(version.read_text()) if version.exists() else None
        return cls(home, programs.find(major, user, home))

    @property
    def _own(self) -> Path:
        return self.home / "own"

    @property
    def _pid_file(self) -> Path:
        return self._own / "data/postmaster.pid"

    def start(self, options: str) -> None:
        """Start the server with these arguments unless it runs, also after a crash; return when it accepts connections.

        Raises:
            LocalPostgresError: it did not start within a minute, recovery not counted.
        """
        self._make_data()
        sockets = self._sockets() or self._new_sockets()
        line = f"-c listen_addresses='' -p {_PORT} -k {shlex.quote(str(sockets))} {options}"
        deadline = monotonic() + _START_TIMEOUT_S
        while state := self.state():
            if state == _RECOVERING:
                sleep(_PAUSE_S)
                continue
            self._forget_reused_pid()
            self._rotate_log()
            started = self._run("pg_ctl", "start", "-D", "data", "-w", "-l", "log", "-o", line)
            if monotonic() > deadline:
                raise LocalPostgresError(f"Postgres did not start, see {self._own}/log: {started.stderr}")
            # Starting fails while a killed server is a zombie, or one of its backends is still ending.
            sleep(_PAUSE_S if started.returncode else 0)

    def stop(self) -> None:
        """End all connections, stop the server and return when it is down; do nothing if none runs."""
        sockets = self._sockets()
        self._run("pg_ctl", "stop", "-D", "data", "-m", "fast", "-w")
        if sockets and sockets != self._own and not self._pid_file.exists():
            shutil.rmtree(sockets)

    def state(self) -> int:
        """Return 0 if the server accepts connections, else the exit code of `pg_isready`."""
        where = ("-h", self._sockets() or self._own, "-p", _PORT, "-U", "postgres", "-d", "postgres")
        return self._run("pg_isready", "-q", *where).returncode

    def prepare(self) -> None:
        """Create our two logins and our database, unless they exist. Neither login is a superuser."""
        with open_blocking_connection(self.dsn("postgres"), MAINTENANCE, "up") as connection:
            if connection.execute(_IS_PREPARED).fetchone() == (True,):
                return
            for step in (
                "create role perezvon login",
                "create role perezvon_app",
                "alter role perezvon_app login",
                "create database perezvon owner perezvon",
            ):
                # An earlier start was killed half way.
                with suppress(psycopg.errors.DuplicateObject, psycopg.errors.DuplicateDatabase):
                    connection.execute(step)

    def dsn(self, name: str) -> str:
        """Return the connection string for a role and the database of its name."""
        return make_conninfo(
            host=str(self._sockets() or self._own), port=_PORT, user=name, dbname=name, connect_timeout=5
        )

    def _run(self, program: str, *arguments: str | Path) -> CompletedProcess[str]:
        return self.programs.run(program, *arguments, cwd=self._own)

    def _make_data(self) -> None:
        for half in self._own.glob("tmp*"):
            shutil.rmtree(half, ignore_errors=True)  # an orphaned initdb may still write there
        if not (self._own / "data").exists():
            new = Path(mkdtemp(dir=self._own))
            _change_owner(new, self.programs.user)
            options = ("-A", "trust", "-E", "UTF8", f"--locale={_LOCALE}", "-k")
            created = self._run("initdb", "-D", new.name, "-U", "postgres", *options)
            if created.returncode:
                raise LocalPostgresError(f"initdb failed: {created.stderr}")
            new.rename(self._own / "data")

    def _sockets(self) -> Path | None:
        """Return the folder of the socket of the running or last server."""
        with suppress(FileNotFoundError, IndexError):  # none ran, or it stopped before it had written this line
            folder = Path(self._pid_file.read_text().splitlines()[_SOCKET_LINE])
            return folder if folder.stat().st_uid == self._own.stat().st_uid else None
        return None

    def _new_sockets(self) -> Path:
        if len(os.fsencode(self._own)) <= _LONGEST_FOLDER:
            return self._own
        folder = Path(mkdtemp(prefix="perezvon-"))
        _change_owner(folder, self.programs.user)
        return folder

    def _forget_reused_pid(self) -> None:
        """Remove the pid file if its pid now belongs to another program. Postgres handles all other cases itself."""
        with suppress(
            FileNotFoundError, ProcessLookupError, PermissionError
        ):  # no such process, a zombie, or not readable
            process = Path("/proc", self._pid_file.read_text().partition("\n")[0])
            command = (process / "comm").read_text().strip()
            if command != "postgres" or (process / "cwd").readlink() != self._own / "data":
                self._pid_file.unlink()

    def _rotate_log(self) -> None:
        log = self._own / "log"
        if log.exists() and log.stat().st_size > _LARGE_LOG:
            log.replace(self._own / "log.1")
