"""``perezvon doctor``: it finds what is wrong, and nothing else."""

from pathlib import Path

import psycopg
import pytest

from tests.support.databases import DatabaseServer
from tests.support.shell import Shell

pytest_plugins = ["tests.support.shells"]


def test_the_doctor_finds_all_well_but_for_the_worker_that_is_not_there(shell: Shell) -> None:
    states = {name: check["state"] for name, check in shell.findings().items()}
    assert states.pop("worker") == "fail"
    durability = states.pop("durability")  # the server of tests forgoes it
    assert durability in {"ok", "fail"}
    assert set(states.values()) == {"ok"}
    assert {"database", "schema", "role", "fence", "search", "clock", "view task_list"} <= set(states)


def test_the_doctor_sees_a_log_that_can_be_changed(shell: Shell, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("DROP TRIGGER append_only ON perezvon_1.stored_events")
    assert shell.findings()["fence"]["state"] == "fail"


def test_the_doctor_sees_a_service_that_may_change_the_log(shell: Shell, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("GRANT DELETE ON perezvon_1.stored_events TO perezvon_app")
    assert shell.findings()["fence"]["state"] == "warn"
    shell.json("migrate")
    assert shell.findings()["fence"]["state"] == "ok"


def test_the_doctor_sees_parked_streams(shell: Shell, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO perezvon_1.parked_streams (name, stream, version, position, error)"
            " VALUES ('task_list', 'task/1', 1, 1, 'broken')"
        )
    finding = shell.findings()["view task_list"]
    assert finding["state"] == "fail"
    assert "retry-parked task_list" in finding["advice"]


def test_the_doctor_sees_a_clock_that_runs_behind_the_log(shell: Shell, acme: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("ALTER TABLE perezvon_1.stored_events DISABLE TRIGGER append_only")
        owner.execute("UPDATE perezvon_1.stored_events SET recorded_at = now() + interval '1 hour'")
        owner.execute("ALTER TABLE perezvon_1.stored_events ENABLE TRIGGER append_only")
    assert shell.findings()["clock"]["state"] == "warn"


def test_the_doctor_stops_at_a_schema_that_is_not_there(
    nowhere: Shell, server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEREZVON_DATABASE_URL", server.create_empty("perezvon_cli_bare"))
    try:
        findings = nowhere.findings()
    finally:
        server.drop("perezvon_cli_bare")
    assert findings["schema"]["advice"] == "Run `perezvon migrate`"
    assert "fence" not in findings


def test_the_doctor_says_so_when_there_is_no_database(nowhere: Shell, tmp_path: Path) -> None:
    code, out, _ = nowhere.run("doctor", "--data-dir", str(tmp_path))
    assert code == 1
    assert out.startswith("fail  database: No database runs in ")
