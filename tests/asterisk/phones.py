"""The phones behind a trunk: one SIPp that plays every callee and keeps a record of who was called."""

import socket
import subprocess
import time
from pathlib import Path

import msgspec

from tests.asterisk.processes import free_port, is_free, kill, launch
from tests.asterisk.scenario import scenario
from tests.asterisk.tree import Tree

_START_S = 10.0


class Invite(msgspec.Struct, frozen=True):
    """A call that a phone received: time (seconds since the epoch), its number, the caller number it saw, the SIP call id."""

    at: float
    number: str
    caller: str
    sip_call: str


class Phones:
    """All phones, at one port of this machine; their files are in a folder."""

    def __init__(self, tree: Tree, folder: Path, *, talk_s: float = 1.0) -> None:
        self._tree, self._folder, self._talk_ms = tree, folder, round(talk_s * 1000)
        self._process: subprocess.Popen[bytes] | None = None
        self._record = folder / "invites.log"
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "phones.xml").write_text(scenario(), encoding="utf-8")

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start the phones and wait until they can be called."""
        words = ["-sf", "phones.xml", "-i", "127.0.0.1", "-p", str(self.port), "-mp", str(free_port(together=4))]
        words += ["-d", str(self._talk_ms), "-l", "5000", "-nostdin", "-trace_logs", "-log_file", self._record.name]
        self._process = launch([*self._tree.sipp, *words], self._folder, self._folder / "phones.log")
        deadline = time.monotonic() + _START_S
        while is_free(self.port, socket.SOCK_DGRAM):
            self.check()
            assert time.monotonic() < deadline, f"SIPp did not come up:\n{self._said()}"
            time.sleep(0.02)

    def check(self) -> None:
        """Raise AssertionError when SIPp has ended: it does so when its port is taken."""
        assert self._process
        assert self._process.poll() is None, f"SIPp ended with {self._process.returncode}:\n{self._said()}"

    def end(self) -> None:
        """Kill SIPp at once: an orderly stop would wait for the calls that it plays."""
        if self._process:
            kill(self._process)

    def invites(self) -> list[Invite]:
        """Return every call of a phone so far, in order; SIP retransmissions count once."""
        lines = self._record.read_text().splitlines() if self._record.exists() else []
        found = (line.partition(" INVITE ") for line in lines)
        return [Invite(float(when.split("\t")[-1]), *what.split(" ")) for when, mark, what in found if mark]

    def calls_of(self, number: str) -> list[Invite]:
        """Return the calls of one number."""
        return [invite for invite in self.invites() if invite.number == number]

    def _said(self) -> str:
        return (self._folder / "phones.log").read_text(errors="replace")[-4000:]
