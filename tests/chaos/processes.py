"""The service as real processes that can be killed and started again."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from infrastructure import local_postgres
from tests.support.running import alive
from tests.support.waiting import eventually

CLI = ("-c", "from interfaces.cli import main; main()")
OPTIONS = "-c max_connections=100"


class Process:
    """A command that is running, until it is killed; started again it is the same command."""

    def __init__(self, *command: str, environment: dict[str, str], log: Path, wrapper: Sequence[str] = ()) -> None:
        """Remember the command; its output goes to ``log``. ``wrapper`` is a command that executes it."""
        self._command, self._log = (*wrapper, sys.executable, *command), log
        self._environment = os.environ | environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the command."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; answer its standard output and exit code."""
        with self._log.open("ab") as log:
            return subprocess.run(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
            )

    def kill(self) -> None:
        """End it by SIGKILL, and wait until it is gone."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        """Send SIGTERM, and wait until it has drained."""
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=30)


class Postgres:
    """The embedded server of a data folder, killed as a power cut would: postmaster and backends at once."""

    def __init__(self, home: Path) -> None:
        """Keep the data in ``home``."""
        self._home = home
        self.dsn = ""

    def start(self) -> None:
        """Start the server, or start it again."""
        self.dsn = local_postgres.start(self._home, options=OPTIONS)

    def kill(self) -> None:
        """End the postmaster and all its children by SIGKILL."""
        postmaster = int((self._home / "own/data/postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(postmaster, signal.SIGSTOP)  # it must not start new ones while its children are killed
        family = [postmaster, *children(postmaster)]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(alive(pid) for pid in family), timeout=30)


def children(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def answers(url: str) -> bool:
    """Return whether the URL responds with 200."""
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def throw_away_folder() -> Path:
    """Make a folder on a disk, which goes when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="perezvon-chaos-", dir="/var/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # runs after the launcher's own, which comes later
    return folder


def show_logs(folder: Path) -> None:
    """Print the end of what the processes said."""
    for path in sorted(folder.glob("*.log")):
        log(f"{path.name}: " + path.read_text(errors="replace")[-2000:])


def log(line: str) -> None:
    """Print a line for people."""
    sys.stderr.write(line + "\n")
