"""Fixtures: shells, and an organisation.

A pytest plugin: ``pytest_plugins = ["tests.support.shells"]`` makes these fixtures available in a test file.
"""

import signal
from collections.abc import Iterator
from typing import TextIO

import pytest
import structlog

from infrastructure.postgres.connections import service_dsn
from interfaces.config.settings import Settings
from tests.support.shell import Shell


@pytest.fixture
def bare_shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Yield a shell without a configured database."""
    monkeypatch.setattr("interfaces.cli.set_up_logging", _log_uncached)
    handler = signal.getsignal(signal.SIGTERM)
    yield Shell(capsys)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def shell(bare_shell: Shell, database: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Return a shell that uses a migrated database."""
    monkeypatch.setenv("PEREZVON_DATABASE_URL", service_dsn(database))
    monkeypatch.setenv("PEREZVON_OWNER_URL", database)
    return bare_shell


@pytest.fixture
def acme(shell: Shell) -> str:
    """Create the first organisation of that database; return its id."""
    return str(shell.json("organization", "create", "Acme")["id"])


def _log_uncached(_settings: Settings, stream: TextIO) -> None:
    """Log to the current standard error. A real process caches its logger with the first stream."""
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(stream), cache_logger_on_first_use=False)
