"""Migrations: processes that migrate at the same time wait for each other."""

import psycopg
import pytest
from structlog.testing import capture_logs

from infrastructure.postgres import migrations
from infrastructure.postgres.migrations import migrate


def test_a_migration_names_the_session_that_it_waits_for(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(database, autocommit=True, application_name="stranger") as other:
        other.execute("SELECT pg_advisory_lock(%s)", (migrations._MIGRATION_LOCK,))
        rounds = iter((False, True))

        def release(_: float) -> None:
            if next(rounds):
                other.execute("SELECT pg_advisory_unlock_all()")

        monkeypatch.setattr(migrations.time, "sleep", release)
        with capture_logs() as logs:
            assert migrate(database) == []
        (waited,) = [entry for entry in logs if entry["event"] == "migration waits for another one"]
        assert (waited["session"], waited["application"]) == (other.info.backend_pid, "stranger")
