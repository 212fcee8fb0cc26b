"""A real Asterisk for tests, with the two files that an operator installs."""

import shlex
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

from tests.asterisk.processes import end, free_port, kill, launch
from tests.asterisk.tree import Tree
from tests.support.certificates import certificate_for

SHIPPED = Path(__file__).parents[2] / "docs/asterisk"
USER, SECRET, TRUNK = "perezvon", "the secret of the tests", "trunk"
_OURS = Path(__file__).parent / "etc"
# They must exist and may be empty.
_EMPTY = ("acl", "ccss", "cdr", "cel", "features", "indications", "pjproject", "sorcery", "stasis", "udptl")
_BOOT_S = 60.0
_DIRECTORIES = """[directories]
astetcdir => {folder}/etc
astmoddir => {tree.modules}
astvarlibdir => {folder}/lib
astkeydir => {folder}/lib
astdbdir => {folder}/db
astdatadir => {tree.data}
astagidir => {folder}/lib
astspooldir => {folder}/spool
astrundir => {folder}/run
astlogdir => {folder}/log
[options]
systemname = perezvon-test
nocolor = yes
"""


class Asterisk:
    """An Asterisk whose trunk leads to phones on this machine; its state is in a folder, and survives ``kill``.

    It must be started in a thread that lives as long as the process.
    """

    def __init__(self, tree: Tree, folder: Path, phones_port: int) -> None:
        self._tree, self._folder = tree, folder.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0
        self.port, self.tls_port, self._sip_port = free_port(), free_port(), free_port()
        for name in ("etc", "lib/keys", "log", "spool", "run", "db"):
            (self._folder / name).mkdir(parents=True)
        self.certificate, key = certificate_for("localhost", self._folder)
        self._configure(phones_port, key)

    @property
    def address(self) -> str:
        """Address of its Manager Interface."""
        return f"127.0.0.1:{self.port}"

    @property
    def tls_address(self) -> str:
        """Address of its Manager Interface with TLS, which uses `certificate`."""
        return f"localhost:{self.tls_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings of a process that dials it."""
        return {
            "PEREZVON_GATEWAY": "asterisk",
            "PEREZVON_ASTERISK_ADDRESS": self.address,
            "PEREZVON_ASTERISK_USER": USER,
            "PEREZVON_ASTERISK_SECRET": SECRET,
            "PEREZVON_ASTERISK_TRUNK": TRUNK,
        }

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def log(self) -> str:
        """Return its warnings and errors."""
        return "".join(path.read_text(errors="replace") for path in sorted((self._folder / "log").iterdir()))

    def start(self) -> None:
        """Start it and wait until it accepts calls."""
        self.launch()
        self.wait_until_booted()

    def launch(self) -> None:
        """Start it without waiting; never in the second of its last start, for the second identifies a start."""
        while int(time.time()) == self._started:
            time.sleep(0.05)
        command = [*self._tree.asterisk, "-C", self._folder / "etc/asterisk.conf", "-f"]
        self._process = launch(command, self._folder, self._folder / "log/output")

    def wait_until_booted(self) -> None:
        """Wait until it accepts calls."""
        assert self._process
        deadline = time.monotonic() + _BOOT_S
        while self._ask("core waitfullybooted").returncode:
            assert self._process.poll() is None, f"Asterisk ended at once:\n{self.log}"
            assert time.monotonic() < deadline, f"Asterisk did not come up:\n{self.log}"
            time.sleep(0.05)
        self._started = int(time.time())  # its start stamp is at or before this second
        assert "Unable to bind" not in self.log, f"Asterisk came up without a port of its own:\n{self.log}"

    def stop(self) -> None:
        """Stop it in order, as an operator would."""
        if self._process:
            end(self._process)

    def kill(self) -> None:
        """Kill it: what its database has not committed is lost."""
        if self._process:
            kill(self._process)

    def freeze(self) -> None:
        """Suspend it: it sends no responses, and keeps all connections."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    @property
    def cli(self) -> str:
        """Return the shell command of its command line."""
        return shlex.join([*self._tree.asterisk, "-C", str(self._folder / "etc/asterisk.conf")])

    def command(self, words: str) -> str:
        """Return the output of a command on its command line."""
        answer = self._ask(words)
        assert answer.returncode == 0, answer.stdout
        return answer.stdout

    def commit_ledger(self) -> None:
        """Wait until the rows written so far survive a crash: it commits about once a second."""
        mark = str(uuid4())
        self.command(f"database put perezvon-test mark {mark}")
        deadline = time.monotonic() + _BOOT_S
        while self._committed_mark() != mark:
            assert time.monotonic() < deadline, "Asterisk does not commit its database"
            time.sleep(0.05)

    def forget_ledger(self) -> None:
        """Remove its database, while it does not run."""
        for path in (self._folder / "db").iterdir():
            path.unlink()

    def _committed_mark(self) -> str | None:
        database = f"file:{self._folder}/db/astdb.sqlite3?mode=ro"
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(database, uri=True)) as connection:
            row = connection.execute("SELECT value FROM astdb WHERE key = '/perezvon-test/mark'").fetchone()
            return row and str(row[0])
        return None  # it is being written

    def _ask(self, words: str) -> subprocess.CompletedProcess[str]:
        command = [*self._tree.asterisk, "-C", self._folder / "etc/asterisk.conf", "-rx", words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_BOOT_S)

    def _configure(self, phones_port: int, key: Path) -> None:
        etc = self._folder / "etc"
        (etc / "asterisk.conf").write_text(_DIRECTORIES.format(folder=self._folder, tree=self._tree))
        for name in _EMPTY:
            (etc / f"{name}.conf").touch()
        for path in _OURS.iterdir():
            text = path.read_text().replace("OUR_PORT", str(self._sip_port)).replace("PHONES_PORT", str(phones_port))
            (etc / path.name).write_text(text)
        text = (SHIPPED / "extensions.conf").read_text()
        (etc / "extensions.conf").write_text(f"{text}\n[from-trunk]\nexten => _X!,1,Hangup(21)\n")
        (etc / "manager.conf").write_text(self._manager(key))

    def _manager(self, key: Path) -> str:
        """Return the shipped file, edited as an operator would edit it."""
        text = (SHIPPED / "manager.conf").read_text()
        edits = {
            "CHANGE-ME": SECRET,
            "port = 5038": f"port = {self.port}",
            ";tlsenable": "tlsenable",
            ";tlsbindaddr = 0.0.0.0:5039": f"tlsbindaddr = 127.0.0.1:{self.tls_port}",
            ";tlscertfile = /etc/asterisk/keys/manager.crt": f"tlscertfile = {self.certificate}",
            ";tlsprivatekey = /etc/asterisk/keys/manager.key": f"tlsprivatekey = {key}",
        }
        for shipped, ours in edits.items():
            assert shipped in text, f"manager.conf does not hold {shipped!r} any more"
            text = text.replace(shipped, ours)
        return text
