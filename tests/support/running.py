"""``perezvon up`` as users run it: a process with child processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.waiting import eventually

_TIMEOUT_S = 60.0


class Up:
    """A running ``perezvon up`` on a free port. Its output goes to files in ``folder``."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self._out, self._err = folder / f"{id(self)}.out", folder / f"{id(self)}.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "interfaces.cli", "up", "--port", "0", *words],
                env={**os.environ, "PEREZVON_LOG_FORMAT": "json", "PEREZVON_LOG_LEVEL": "info", **environment},
                stdout=out,
                stderr=err,
            )

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def log(self) -> list[dict[str, object]]:
        """Return the log lines so far, without an incomplete last line."""
        lines = self._err.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def url(self) -> str:
        """Wait until the service is ready, and return its address."""
        return eventually(self._ready, timeout=_TIMEOUT_S)

    def pids(self, name: str) -> list[int]:
        """Return the ids of the processes that were started under that name, oldest first."""
        started = (line for line in self.log if line["event"] == "started" and line["process"] == name)
        return [int(str(line["pid"])) for line in started]

    def responds(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=_TIMEOUT_S)

    def _ready(self) -> str:
        assert self.process.poll() is None, self._err.read_text()
        return self.output.partition("\n")[0].removeprefix("ready ") if "\n" in self.output else ""


def alive(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
