"""A call centre on a real switch: API and worker, Asterisk and its phones, each a process; a link that can be cut."""

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import make_conninfo

from infrastructure.postgres.connections import service_dsn
from tests.asterisk.real_switch import RealSwitch
from tests.benchmarks.callbacks import number_in
from tests.chaos.desk import Desk
from tests.chaos.phones import PAUSE_S, TRIES, Planned
from tests.chaos.processes import CLI, Process, answers, free_port, show_logs
from tests.support.relay import Relay
from tests.support.secrets_key import ENVIRONMENT
from tests.support.waiting import eventually

LIMIT = 200
PER_SECOND = 100
_PATIENCE_S = 60.0

_LINKED = (
    "SELECT count(*) FROM perezvon_1.gateway_leases WHERE link_up AND until > clock_timestamp() AND fence > {fence}"
)
_FENCE = "SELECT coalesce(max(fence), 0) FROM perezvon_1.gateway_leases"
_AWAY = "SELECT count(*) FROM perezvon_1.gateway_leases WHERE NOT link_up"
_ROW = re.compile(r"/perezvon/(\S+)\s*: .*\|([0-9]+)\s*$", re.MULTILINE)
_LEFT = (
    "SELECT count(*) FILTER (WHERE topic = 'callback.scheduled.v1')"
    " - count(*) FILTER (WHERE topic = 'callback.finished.v1') + (SELECT count(*) FROM perezvon_1.open_calls)"
    " FROM perezvon_1.stored_events"
)


class CallCentre:
    """The processes, and queries that work while one of them is down."""

    def __init__(self, real: RealSwitch, dsn: str, folder: Path, program: Sequence[str]) -> None:
        """Use a migrated database; ``program`` runs our command line, or a build of it that must be found out."""
        self.dsn, self.asterisk, self.phones = dsn, real.asterisk, real.phones
        host, port = real.asterisk.address.split(":")
        self.link = Relay(make_conninfo(host=host, port=port))
        environment = real.asterisk.environment | {
            **ENVIRONMENT,
            "PEREZVON_DATABASE_URL": service_dsn(dsn),
            "PEREZVON_ASTERISK_ADDRESS": f"127.0.0.1:{self.link.port}",
            "PEREZVON_CALLS_PER_SECOND": str(PER_SECOND),
            "PEREZVON_CHANNELS": str(4 * LIMIT),
            "PEREZVON_RATE_LIMITS": "false",
        }
        self._port, self._fence = free_port(), 0
        self._api = Process(*CLI, "serve", "--port", str(self._port), environment=environment, log=folder / "api.log")
        self._worker = Process(*program, "work", environment=environment, log=folder / "worker.log")
        self.desk = Desk.make(dsn, f"http://127.0.0.1:{self._port}")

    def start(self) -> None:
        """Start API and worker, until calls can be placed."""
        self.link.open()
        self._api.start()
        self.start_worker()
        eventually(lambda: answers(f"http://127.0.0.1:{self._port}/health/live"), timeout=_PATIENCE_S)
        self.reached()

    def end(self) -> None:
        """End API and worker in good order."""
        self.desk.close()
        self._api.end()
        self._worker.end()
        self.link.shut()

    def call(self, people: Sequence[Planned]) -> int:
        """Schedule callbacks to these people now, in a new queue; return its id."""
        queue = self.desk.open_queue(LIMIT)
        self.desk.schedule(queue, people, tries=TRIES, pause_s=PAUSE_S)
        return queue

    def rung(self, people: Sequence[Planned]) -> int:
        """Return the number of dialled phones on leg A, as the phones count them."""
        return len({one.a for one in people} & {invite.number for invite in self.phones.invites()})

    def ledger(self) -> dict[str, float]:
        """Return the calls in Asterisk's ledger, with the end time of each."""
        rows = _ROW.findall(self.asterisk.command("database show perezvon"))
        return {call_id: float(at) for call_id, at in rows}

    def kill_worker(self) -> None:
        """End the worker by SIGKILL."""
        self._fence = number_in(self.dsn, _FENCE)
        self._worker.kill()

    def start_worker(self) -> None:
        """Start another worker in its stead."""
        self._worker.start()

    def reached(self) -> None:
        """Wait until a worker leads that was not killed, and reaches the switch."""
        eventually(lambda: number_in(self.dsn, _LINKED.format(fence=self._fence)), timeout=_PATIENCE_S)

    def cut(self) -> None:
        """Cut the link between worker and switch, and wait until the worker has noticed."""
        self.link.shut()
        eventually(lambda: number_in(self.dsn, _AWAY), timeout=_PATIENCE_S)

    def mend(self) -> None:
        """Restore the link, and wait until the worker reaches the switch."""
        self.link.open()
        self.reached()

    def over(self) -> None:
        """Wait until every callback has finished, and no call is open."""
        eventually(lambda: number_in(self.dsn, _LEFT) == 0, timeout=_PATIENCE_S)


@contextmanager
def call_centre(real: RealSwitch, dsn: str, folder: Path, program: Sequence[str] = CLI) -> Generator[CallCentre]:
    """Run a call centre on a migrated database; logs go to ``folder`` and are shown after a failure."""
    centre = CallCentre(real, dsn, folder, program)
    try:
        centre.start()
        yield centre
    except BaseException:
        show_logs(folder)
        raise
    finally:
        centre.end()
