"""Fixtures for all tests."""

import itertools
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from tests.asterisk.real_switch import RealSwitch, real_switch
from tests.asterisk.tree import found
from tests.support.databases import PREFIX, DatabaseServer, database_server
from tests.support.node import NO_NODE, NO_REGISTRY
from tests.support.secrets_key import ENVIRONMENT

for variable in [name for name in os.environ if name.startswith(("PEREZVON_", "POSTGRES_"))]:
    if not variable.startswith("PEREZVON_TEST_"):
        del os.environ[variable]  # settings of a service must not affect tests

os.environ.pop("COLUMNS", None)  # commands obey it, and the readline library sets it for the workers of pytest-xdist

settings.register_profile("load", deadline=None)  # a busy machine must not fail a law
settings.load_profile("load")

UNTESTED = "ASTERISK WAS NOT TESTED: there is none on this machine; get it with ./run asterisk --fetch"

os.environ.update(ENVIRONMENT)

_serial = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of the shared service first, without other tests between them that block its event loop.

    Postgres ends transactions that are idle for seconds, and the next test would find its connections lost.
    """
    items.sort(key=lambda item: "service" not in getattr(item, "fixturenames", ()))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Report in the last lines which tests were skipped because the machine lacks a program; the real switch comes last."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not isinstance(reporter, pytest.TerminalReporter):
        return
    skipped = [str(report.longrepr) for report in reporter.getreports("skipped")]
    for reason in (NO_NODE, NO_REGISTRY, UNTESTED):
        if any(reason in report for report in skipped):
            reporter.write_line(reason, red=True, bold=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, like the service."""
    return "asyncio"


@pytest.fixture(autouse=True)
def restored_log_setup() -> Iterator[None]:
    """Restore the log setup: a command logs to a stream that is closed before the next test logs."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def server() -> Iterator[DatabaseServer]:
    """Yield a server on which tests create databases."""
    with database_server() as found:
        yield found


@pytest.fixture(scope="session")
def template(server: DatabaseServer) -> Iterator[str]:
    """Yield the name of a migrated database without connections; each process of the run has its own."""
    from infrastructure.postgres.migrations import migrate  # noqa: PLC0415 - tests of the domain need no database and no such imports

    name = f"{PREFIX}{os.getpid()}"
    migrate(server.create_empty(name))
    yield name
    server.drop(name)


@pytest.fixture(scope="session")
def asterisk() -> Iterator[RealSwitch]:
    """Yield a real Asterisk with phones; each process of the run has its own."""
    tree = found()
    if tree is None:
        pytest.skip(UNTESTED)
    with real_switch(tree) as real:
        yield real


@pytest.fixture
def database(server: DatabaseServer, template: str) -> Iterator[str]:
    """Yield the address of a new migrated database for the role that owns it."""
    name = f"{template}_{next(_serial)}"
    yield server.create(name, template=template)
    server.drop(name)
