"""The service of the run: Postgres, API, worker and phone network, each a process, with the default limits."""

import os
import resource
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from application.callers import Request
from infrastructure.postgres.connections import service_dsn
from infrastructure.postgres.migrations import migrate
from interfaces.bootstrap.services import services
from tests.chaos.neighbour import names
from tests.chaos.processes import Postgres, Process, answers, free_port, log, show_logs
from tests.support.secrets_key import ENVIRONMENT
from tests.support.waiting import eventually

LOOPBACK = "127.0.0.0/8"
CHANNELS = 80
SPEED = 20
"""An answered call lasts 0.7 s, one that rings in vain 1.6 s."""

_PATIENCE_S = 60.0
_NAMED = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"')


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation with an admin's token, an operator's key, and a callback queue."""

    id: int
    token: str
    operator: str


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """The running service. ``host`` is a name of this machine, or its address where names cannot be served."""

    url: str
    dsn: str
    host: str
    silent_port: int
    serves_names: bool


@contextmanager
def running_service(folder: Path, program: Sequence[str]) -> Generator[Service]:
    """Run everything; ``program`` runs our command line, or a build of it that must be found out."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    postgres = Postgres(folder)
    postgres.start()
    migrate(postgres.dsn)
    with _helper("tests.chaos.neighbour.sinks") as port, _name_server(folder) as resolver:
        network, http = str(folder / "network"), free_port()
        environment = {
            "PEREZVON_DATABASE_URL": service_dsn(postgres.dsn),
            **ENVIRONMENT,
            "PEREZVON_GATEWAY": "simulated",
            "PEREZVON_SIMULATOR_ADDRESS": network,
            "PEREZVON_SIMULATED_SPEED": str(SPEED),
            "PEREZVON_CHANNELS": str(CHANNELS),
            "PEREZVON_WEBHOOK_ALLOW_NETS": LOOPBACK,
        }
        processes = [
            Process(*words, environment=environment, log=folder / f"{name}.log", wrapper=wrapper)
            for name, words, wrapper in (
                ("network", (*program, "simulator", "--address", network), ()),
                ("api", (*program, "serve", "--port", str(http)), ()),
                ("worker", (*program, "work"), resolver),
            )
        ]
        try:
            for process in processes:
                process.start()
            eventually(lambda: answers(f"http://127.0.0.1:{http}/health/ready"), timeout=_PATIENCE_S)
            yield Service(
                url=f"http://127.0.0.1:{http}",
                dsn=service_dsn(postgres.dsn),
                host="quiet.test" if resolver else "127.0.0.1",
                silent_port=int(port),
                serves_names=bool(resolver),
            )
        except BaseException:
            show_logs(folder)
            raise
        finally:
            for process in reversed(processes):
                process.end()


async def new_tenant(dsn: str, name: str) -> Tenant:
    """Create an organisation with an operator."""
    request = Request(request_id="chaos")
    async with services(dsn) as opened:
        created = await opened.organizations.create(name, request)
        operator = await opened.organizations.add_operator(created.id, "Line", request, number="1001", member_id=None)
    return Tenant(id=created.id, token=created.token, operator=operator.id)


@contextmanager
def _helper(module: str) -> Generator[str]:
    """Run a module; yield the line that it prints when it is ready, or an empty text if it cannot run here."""
    with subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def _name_server(folder: Path) -> Generator[tuple[str, ...]]:
    """Yield a command in front of another one that then resolves names with our name server; nothing where it takes root."""
    with _helper(names.__name__) as ready:
        with suppress(OSError):
            (configuration := folder / "resolv.conf").write_text(
                f"nameserver {names.ADDRESS}\noptions timeout:2 attempts:1\n"
            )
            probe = subprocess.run([*_NAMED, configuration, "true"], capture_output=True, check=False)
            if ready and os.geteuid() == 0 and probe.returncode == 0:
                yield (*_NAMED, str(configuration))
                return
        log("DEAD NAMES ARE NOT TESTED: a name server of our own takes root and a mount namespace")
        yield ()
