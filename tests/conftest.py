"""Fixtures for all tests."""

import itertools
import os
from collections.abc import Iterator

import pytest
import structlog

from tests.asterisk.real_switch import RealSwitch, real_switch
from tests.asterisk.tree import found
from tests.support.databases import PREFIX, DatabaseServer, database_server
from tests.support.node import NO_NODE, NO_REGISTRY

for variable in [name for name in os.environ if name.startswith(("PEREZVON_", "POSTGRES_"))]:
    if not variable.startswith("PEREZVON_TEST_"):
        del os.environ[variable]  # what is set for a service must not reach its tests

UNTESTED = "ASTERISK WAS NOT TESTED: there is none on this machine; get it with ./run asterisk --fetch"

_serial = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the shared service first, with none between them that holds up its event loop.

    Postgres ends transactions which stand still for seconds, and the next test would find its connections lost.
    """
    items.sort(key=lambda item: "service" not in getattr(item, "fixturenames", ()))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in the very last lines what was left out because the machine lacks it: the real switch last, if it is one."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not isinstance(reporter, pytest.TerminalReporter):
        return
    skipped = [str(report.longrepr) for report in reporter.getreports("skipped")]
    for reason in (NO_NODE, NO_REGISTRY, UNTESTED):
        if any(reason in report for report in skipped):
            reporter.write_line(reason, red=True, bold=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, as the service runs."""
    return "asyncio"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo what a command set: it logs to a stream that is closed by the time the next test logs."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def server() -> Iterator[DatabaseServer]:
    """Lend a server on which a test may make databases of its own."""
    with database_server() as found:
        yield found


@pytest.fixture(scope="session")
def template(server: DatabaseServer) -> Iterator[str]:
    """Name a migrated database to which nobody is connected; each process of the run has its own."""
    from infrastructure.postgres.migrations import migrate  # noqa: PLC0415 - the domain's tests need no database, nor its imports

    name = f"{PREFIX}{os.getpid()}"
    migrate(server.create_empty(name))
    yield name
    server.drop(name)


@pytest.fixture(scope="session")
def asterisk() -> Iterator[RealSwitch]:
    """Lend a real Asterisk with phones behind it; each process of the run has its own."""
    tree = found()
    if tree is None:
        pytest.skip(UNTESTED)
    with real_switch(tree) as real:
        yield real


@pytest.fixture
def database(server: DatabaseServer, template: str) -> Iterator[str]:
    """Lend the address of a migrated database of the test's own, for the role that owns it."""
    name = f"{template}_{next(_serial)}"
    yield server.create(name, template=template)
    server.drop(name)
