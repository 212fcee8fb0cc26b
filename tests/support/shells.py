"""Shells for tests, and an organisation to work on.

A pytest plugin: ``pytest_plugins = ["tests.support.shells"]`` gives a file of tests these fixtures.
"""

import signal
from collections.abc import Iterator
from typing import TextIO

import pytest
import structlog

from interfaces.config.settings import Settings
from tests.support.shell import Shell


@pytest.fixture
def nowhere(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Lend a shell that no database was named to."""
    monkeypatch.setattr("interfaces.cli.set_up_logging", _log_without_memory)
    handler = signal.getsignal(signal.SIGTERM)
    yield Shell(capsys)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def shell(nowhere: Shell, database: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Lend a shell on a migrated database."""
    monkeypatch.setenv("PEREZVON_DATABASE_URL", database)
    return nowhere


@pytest.fixture
def acme(shell: Shell) -> str:
    """Name an organisation of that database, its first."""
    return str(shell.json("organization", "create", "Acme")["id"])


def _log_without_memory(_settings: Settings, stream: TextIO) -> None:
    """Log to what is standard error now; a process of its own would remember it for good."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(stream), cache_logger_on_first_use=False)
