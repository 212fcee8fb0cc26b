"""Start commands of perezvon without import time, by forking a process that has imported them.

To import takes longer than the second between two kills: most would be dead before they had done anything.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests.support.running import alive
from tests.support.waiting import eventually

_DRAIN_S = 30.0


class Birth(msgspec.Struct, frozen=True):
    """A request for a process: the words of the command, its environment, and its log file."""

    words: Sequence[str]
    environment: Mapping[str, str]
    log: str


class Nursery:
    """The process that forks the others."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.chaos.nursery"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()

    def process(self, *words: str, environment: Mapping[str, str], log: Path) -> "Forked":
        """Return a command of perezvon that can be started."""
        return Forked(self, Birth(words, environment, str(log)))

    def bear(self, birth: Birth) -> int:
        """Start the process; answer its id."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(msgspec.json.encode(birth) + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


class Forked:
    """A command of perezvon that can be started, killed and restarted."""

    def __init__(self, nursery: Nursery, birth: Birth) -> None:
        """Use ``Nursery.process``."""
        self._nursery = nursery
        self._birth = birth
        self._pid: int | None = None

    def start(self) -> None:
        """Start it."""
        self._pid = self._nursery.bear(self._birth)

    def kill(self) -> None:
        """End it by SIGKILL, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def end(self) -> None:
        """Send SIGTERM, and wait until it has drained."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if (pid := self._pid) is None:
            return
        self._pid = None
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        eventually(lambda: not alive(pid), timeout=_DRAIN_S)


def main() -> None:
    """Fork a process for each line of standard input, and print its id."""
    from interfaces.cli import main as cli  # noqa: PLC0415 - who only wants a nursery need not import this

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps ended children
    for line in sys.stdin.buffer:
        birth = msgspec.json.decode(line, type=Birth)
        if pid := os.fork():
            print(pid, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _become(birth)
        sys.exit(cli())


def _become(birth: Birth) -> None:
    sys.argv = ["perezvon", *birth.words]
    os.environ.update(birth.environment)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    log = os.open(birth.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for old, new in ((nowhere, 0), (log, 1), (log, 2)):
        os.dup2(old, new)


if __name__ == "__main__":
    main()
