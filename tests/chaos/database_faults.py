"""The faults of a database: each begins, lasts for some seconds, and ends."""

import os
import signal
import subprocess
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.local_postgres.server import Server
from infrastructure.postgres.connections import service_dsn
from tests.chaos.processes import OPTIONS, Postgres, children
from tests.support.relay import Relay
from tests.support.waiting import eventually

_START_S = 60.0
_TABLES = ("stored_events", "tokens", "task_list", "checkpoints", "gateway_leases")
_FOREIGN = {
    "DateStyle": "SQL, DMY",
    "client_encoding": "WIN1251",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "repeatable read",
    "bytea_output": "escape",
    "search_path": "pg_temp",
    "statement_timeout": "1",
    "synchronous_commit": "off",
}


class Impossible(Exception):
    """This machine cannot cause the fault; the text says why."""


class Site:
    """A primary, perhaps a standby, and a relay before each, through which the service connects."""

    def __init__(self, folder: Path) -> None:
        """Start the primary in ``folder``."""
        self.folder = folder
        self.primary = Postgres(folder)
        self.primary.start()
        self.dsn = self.primary.dsn
        self.relays = [Relay(self.dsn), Relay(self.dsn)]
        self.relays[0].open()
        ports = ",".join(str(relay.port) for relay in self.relays)
        hosts = make_conninfo(self.dsn, host="127.0.0.1,127.0.0.1", port=ports, target_session_attrs="read-write")
        self.service = service_dsn(hosts)

    @property
    def admin(self) -> str:
        """The address of the database for the server's superuser."""
        return make_conninfo(self.dsn, user="postgres")

    def do(self, *statements: str) -> None:
        """Execute statements as the superuser, each in a transaction of its own."""
        writable = make_conninfo(self.admin, options="-c default_transaction_read_only=off -c statement_timeout=0")
        with psycopg.connect(writable, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def end_sessions(self) -> None:
        """End the sessions of the service."""
        self.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'perezvon_app'")

    @property
    def processes(self) -> Sequence[int]:
        """The ids of the server's processes, the postmaster first."""
        postmaster = int((self.folder / "own/data/postmaster.pid").read_text().split("\n", 1)[0])
        return [postmaster, *children(postmaster)]


@contextmanager
def silent(site: Site) -> Generator[None]:
    """Carry no more data over the open connections; new ones work at once."""
    site.relays[0].silence()
    yield


@contextmanager
def paused(site: Site) -> Generator[None]:
    """Stop all processes of the server."""
    pids = site.processes
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def locked(site: Site) -> Generator[None]:
    """Hold locks on the busiest tables in another session."""
    with psycopg.connect(site.admin) as connection:
        eventually(lambda: _locks(connection), timeout=_START_S)
        yield


def _locks(connection: psycopg.Connection) -> bool:
    """Lock the tables one after another, as others use them in any order; return False after a deadlock."""
    try:
        for table in _TABLES:
            connection.execute(f"LOCK TABLE perezvon_1.{table}".encode())
    except psycopg.errors.DeadlockDetected:
        connection.rollback()
        return False
    return True


@contextmanager
def read_only(site: Site) -> Generator[None]:
    """Make all new sessions read-only, and end the present ones."""
    site.do("ALTER DATABASE perezvon SET default_transaction_read_only = on")
    site.end_sessions()
    yield
    site.do("ALTER DATABASE perezvon RESET default_transaction_read_only")
    site.end_sessions()


@contextmanager
def restarted(site: Site) -> Generator[None]:
    """Stop the server in an orderly way; start it at the end."""
    pid = site.processes[0]
    os.kill(pid, signal.SIGINT)
    eventually(lambda: not (site.folder / "own/data/postmaster.pid").exists(), timeout=_START_S)
    yield
    site.primary.start()


@contextmanager
def killed(site: Site) -> Generator[None]:
    """Kill all processes of the server; start it at the end."""
    site.primary.kill()
    yield
    site.primary.start()


@contextmanager
def exhausted(site: Site) -> Generator[None]:
    """Take all connections of the server, after ending those of the service."""
    with ExitStack() as held:
        site.end_sessions()
        with suppress(psycopg.OperationalError):
            while True:
                held.enter_context(psycopg.connect(site.dsn, autocommit=True))
        yield


@contextmanager
def foreign(site: Site) -> Generator[None]:
    """Set what the service relies on to other values in the database."""
    names = _FOREIGN.items()
    site.do(*(f"ALTER DATABASE perezvon SET {name} = '{value}'" for name, value in names))
    site.end_sessions()
    yield
    site.do(*(f"ALTER DATABASE perezvon RESET {name}" for name in _FOREIGN))
    site.end_sessions()


@contextmanager
def disk_full(site: Site) -> Generator[None]:
    """Fill the disk of the log: a small file system in memory, on which the log lies from now on."""
    disk = site.folder / "disk"
    disk.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=256m,mode=0777", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise Impossible("only root can mount a small disk")
    try:
        user = Server.of(site.folder).programs.user
        (disk / "log").mkdir()
        if user:
            os.chown(disk / "log", user.pw_uid, user.pw_gid)
        site.do(f"CREATE TABLESPACE small LOCATION '{disk}/log'")
        site.do("ALTER TABLE perezvon_1.stored_events SET TABLESPACE small")
        with (disk / "filling").open("wb") as filling, suppress(OSError):
            while True:
                filling.write(bytes(1 << 16))
                filling.flush()
        yield
        (disk / "filling").unlink()
        eventually(lambda: _moved_back(site), timeout=_START_S)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def _moved_back(site: Site) -> bool:
    with suppress(psycopg.Error):
        site.do("SET lock_timeout = '5s'; ALTER TABLE perezvon_1.stored_events SET TABLESPACE pg_default")
        site.do("DROP TABLESPACE small")  # a base backup would look for its files
        return True
    return False


@contextmanager
def promoted(site: Site) -> Generator[None]:
    """Kill the primary and promote a synchronous standby, which the connection string names too."""
    server = Server.of(site.folder)
    own, data = site.folder / "own", site.folder / "own/standby"
    if not (server.programs.folder / "pg_basebackup").exists():
        raise Impossible("the programs of Postgres lack pg_basebackup")
    host = str(conninfo_to_dict(site.dsn)["host"])
    sockets = own / "s"
    sockets.mkdir()
    if server.programs.user:
        os.chown(sockets, server.programs.user.pw_uid, server.programs.user.pw_gid)
    copied = server.programs.run(
        "pg_basebackup", "-h", host, "-p", "5432", "-U", "postgres", "-D", data, "-R", "-c", "fast", cwd=own
    )
    if copied.returncode:
        raise Impossible(f"pg_basebackup failed: {copied.stderr}")
    options = f"-c listen_addresses='' -p 5432 -k {sockets} {OPTIONS}"
    log = own / "standby.log"
    started = server.programs.run("pg_ctl", "start", "-D", data, "-w", "-l", log, "-o", options, cwd=own)
    if started.returncode:
        raise Impossible(f"the standby did not start: {started.stderr}")
    site.do("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
    eventually(lambda: _is_synchronous(site), timeout=_START_S)
    standby = make_conninfo(site.dsn, host=str(sockets))
    relay = Relay(standby)
    site.primary.kill()
    site.relays[0].shut()
    _take_over(site.relays[1], relay)
    server.programs.run("pg_ctl", "promote", "-D", data, "-w", cwd=own)
    site.dsn = standby
    yield


def _take_over(planned: Relay, relay: Relay) -> None:
    """Open the planned relay, whose port the service knows, to the standby."""
    planned.lead_to(relay)
    planned.open()


def _is_synchronous(site: Site) -> bool:
    with psycopg.connect(site.admin) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone()
    return row == (1,)


def hold(seconds: float) -> None:
    """Keep the fault for that time: there is no condition to wait for."""
    until = monotonic() + seconds
    while monotonic() < until:
        sleep(0.1)


FAULTS = {
    "silent connections": silent,
    "server paused": paused,
    "tables locked": locked,
    "read-only": read_only,
    "restart": restarted,
    "kill -9": killed,
    "connections exhausted": exhausted,
    "foreign settings": foreign,
    "disk full": disk_full,
    "standby promoted": promoted,
}
"""The faults in the order of a run; the last one leaves another server."""

SHORT = ("silent connections", "server paused", "tables locked", "read-only", "kill -9")
