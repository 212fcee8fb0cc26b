"""One Postgres server in its data folder: making, starting, asking and stopping it."""

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

_PORT = "5432"  # names the socket only; stated because PGPORT would change it
_LONGEST_FOLDER = 103 - len(f"/.s.PGSQL.{_PORT}")  # macOS; Linux has room for four bytes more
_LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"  # "C" would blind trigrams and ILIKE to Cyrillic
_LARGE_LOG = 10_000_000
_PATIENCE = 60.0
_PAUSE = 0.3
_RECOVERING = 1  # an answer of pg_isready
_SOCKET_LINE = 4  # of the pid file, counted from 0


def _give(path: Path, user: struct_passwd | None) -> None:
    if user:
        os.chown(path, user.pw_uid, user.pw_gid)


@dataclass(frozen=True)
class Server:
    """The server of one data folder. Its user holds the folder's lock."""

    home: Path
    programs: Programs

    @classmethod
    def of(cls, home: Path) -> "Server":
        """Choose user and programs for a data folder, and make what it needs around its data.

        Raises:
            LocalPostgresError: there is no fitting user or program, or no way for the user into the folder.
        """
        own, version = home / "own", home / "own/data/PG_VERSION"
        own.mkdir(exist_ok=True)
        own.chmod(0o700)  # what makes `trust` safe
        user = programs.server_user(own.stat().st_uid)
        _give(own, user)
        programs.open_way(user, home, own)
        major = int(version.read_text()) if version.exists() else None
        return cls(home, programs.find(major, user, home))

    @property
    def _own(self) -> Path:
        return self.home / "own"

    @property
    def _pid_file(self) -> Path:
        return self._own / "data/postmaster.pid"

    def start(self, options: str) -> None:
        """Return when the server takes connections; if none runs, start one with these arguments, after any crash.

        Raises:
            LocalPostgresError: it did not start within a minute, recovery not counted.
        """
        self._make_data()
        sockets = self._sockets() or self._new_sockets()
        line = f"-c listen_addresses='' -p {_PORT} -k {shlex.quote(str(sockets))} {options}"
        give_up = monotonic() + _PATIENCE
        while state := self.state():
            if state == _RECOVERING:
                sleep(_PAUSE)
                continue
            self._forget_reused_pid()
            self._rotate_log()
            started = self._run("pg_ctl", "start", "-D", "data", "-w", "-l", "log", "-o", line)
            if monotonic() > give_up:
                raise LocalPostgresError(f"Postgres did not start, see {self._own}/log: {started.stderr}")
            # It is refused while a killed server is a zombie, or one of its backends winds down.
            sleep(_PAUSE if started.returncode else 0)

    def stop(self) -> None:
        """End all connections, stop the server and return when it is down; nothing happens if none runs."""
        sockets = self._sockets()
        self._run("pg_ctl", "stop", "-D", "data", "-m", "fast", "-w")
        if sockets and sockets != self._own and not self._pid_file.exists():
            shutil.rmtree(sockets)

    def state(self) -> int:
        """Return 0 if the server takes connections, else what `pg_isready` found."""
        where = ("-h", self._sockets() or self._own, "-p", _PORT, "-U", "postgres", "-d", "postgres")
        return self._run("pg_isready", "-q", *where).returncode

    def prepare(self) -> None:
        """Make our two roles and our database, unless they are there."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            if connection.execute("select 1 from pg_database where datname = 'perezvon'").fetchone():
                return
            for step in (
                "create role perezvon login",
                "create role perezvon_app",
                "grant perezvon_app to perezvon",
                "create database perezvon owner perezvon",
            ):
                with suppress(psycopg.errors.DuplicateObject):  # a start was killed half way
                    connection.execute(step)

    def dsn(self, name: str) -> str:
        """Return the address for a role and the database of its name."""
        return make_conninfo(
            host=str(self._sockets() or self._own), port=_PORT, user=name, dbname=name, connect_timeout=5
        )

    def _run(self, program: str, *arguments: str | Path) -> CompletedProcess[str]:
        return self.programs.run(program, *arguments, cwd=self._own)

    def _make_data(self) -> None:
        for half in self._own.glob("tmp*"):
            shutil.rmtree(half, ignore_errors=True)  # an orphaned initdb may be writing there still
        if not (self._own / "data").exists():
            new = Path(mkdtemp(dir=self._own))
            _give(new, self.programs.user)
            options = ("-A", "trust", "-E", "UTF8", f"--locale={_LOCALE}", "-k")
            made = self._run("initdb", "-D", new.name, "-U", "postgres", *options)
            if made.returncode:
                raise LocalPostgresError(f"initdb failed: {made.stderr}")
            new.rename(self._own / "data")

    def _sockets(self) -> Path | None:
        """Return the folder of the socket of the running or last server."""
        with suppress(FileNotFoundError, IndexError):  # none ran, or it got no further than its pid
            folder = Path(self._pid_file.read_text().splitlines()[_SOCKET_LINE])
            return folder if folder.stat().st_uid == self._own.stat().st_uid else None
        return None

    def _new_sockets(self) -> Path:
        if len(os.fsencode(self._own)) <= _LONGEST_FOLDER:
            return self._own
        folder = Path(mkdtemp(prefix="perezvon-"))
        _give(folder, self.programs.user)
        return folder

    def _forget_reused_pid(self) -> None:
        """Remove the pid file if its number is now another program's. All other cases Postgres settles itself."""
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # no such process, a zombie, or unsure
            process = Path("/proc", self._pid_file.read_text().partition("\n")[0])
            command = (process / "comm").read_text().strip()
            if command != "postgres" or (process / "cwd").readlink() != self._own / "data":
                self._pid_file.unlink()

    def _rotate_log(self) -> None:
        log = self._own / "log"
        if log.exists() and log.stat().st_size > _LARGE_LOG:
            log.replace(self._own / "log.1")
