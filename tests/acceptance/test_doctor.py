"""``perezvon doctor``: it reports each fault, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from domain.model import Snapshot
from domain.task.events import TaskStarted
from domain.task.task import replay
from infrastructure.event_log.codec import encode_snapshot
from infrastructure.operations.doctor import horizon
from infrastructure.postgres.connections import service_dsn
from tests.asterisk.real_switch import RealSwitch
from tests.support.databases import DatabaseServer
from tests.support.histories import filed
from tests.support.logs import record
from tests.support.shell import Shell

pytest_plugins = ["tests.support.shells"]

Execute = Callable[[str], None]


@pytest.fixture
def execute(database: str) -> Execute:
    """Return a function that executes a statement in the database of the test."""

    def executed(text: str) -> None:
        with psycopg.connect(database, autocommit=True) as owner:
            owner.execute(text.encode())

    return executed


def test_the_doctor_finds_all_well_but_for_the_worker_that_is_not_there(shell: Shell) -> None:
    states = {name: check["state"] for name, check in shell.findings().items()}
    assert states.pop("worker") == "fail"
    durability = states.pop("durability")  # the test server may run without it
    assert durability in {"ok", "fail"}
    assert states.pop("connections") in {"ok", "warn"}  # other tests use the server too
    assert set(states.values()) == {"ok"}
    assert {"database", "writable", "schema", "role", "fence", "search", "clock", "view task_list"} <= set(states)


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


def test_the_doctor_compares_snapshots_with_the_log(shell: Shell, database: str, execute: Execute) -> None:
    stream, facts = "task/0197b1c2-f000-7000-8000-000000000001", [filed(), TaskStarted()]
    events = record(database, stream, *facts)
    kept = Snapshot(state=replay(events), bytes=1)
    add = (
        "INSERT INTO perezvon_1.snapshots SELECT originator_id, 'task.snapshot.1', originator_version, notification_id,"
    )
    add += " organization_id, recorded_at, convert_to($${}$$, 'UTF8') FROM perezvon_1.stored_events"
    execute(add.format(encode_snapshot(kept).decode()) + " WHERE originator_version = 2")
    assert shell.findings()["snapshots"]["state"] == "ok"
    forged = Snapshot(state=replay(events[:1]), bytes=1)
    execute(add.format(encode_snapshot(forged).decode()) + " WHERE originator_version = 1")
    assert shell.findings()["snapshots"]["state"] == "ok"
    execute(f"UPDATE perezvon_1.snapshots SET state = convert_to($${encode_snapshot(forged).decode()}$$, 'UTF8')")
    assert f"{stream}@2" in shell.findings()["snapshots"]["message"]
    execute("UPDATE perezvon_1.snapshots SET originator_version = 3 WHERE originator_version = 2")
    assert "does not have" in shell.findings()["snapshots"]["message"]


def test_the_doctor_sees_rights_that_the_service_does_not_need(shell: Shell, execute: Execute) -> None:
    execute(
        "GRANT INSERT ON perezvon_1.tokens TO perezvon_app; GRANT SELECT ON perezvon_1.stored_events_door TO perezvon_app"
    )
    finding = shell.findings()["privileges"]
    assert finding["state"] == "fail"
    assert "writing to tokens" in finding["message"]
    assert "the table stored_events_door" in finding["message"]
    shell.json("migrate")
    assert shell.findings()["privileges"]["state"] == "ok"


def test_the_doctor_sees_access_that_the_log_does_not_grant(shell: Shell, acme: str, execute: Execute) -> None:
    assert shell.findings()["access"]["state"] == "ok"
    execute("UPDATE perezvon_1.tokens SET role = 'analyst'")
    finding = shell.findings()["access"]
    assert finding["state"] == "fail"
    assert "1 of tokens" in finding["message"]
    assert shell.run("rebuild", "access_directory")[0] == 3
    assert shell.json("rebuild", "access_directory", "--accept")["swapped"]
    assert shell.findings()["access"]["state"] == "ok"


def test_the_doctor_refuses_the_login_of_the_owner(
    shell: Shell, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEREZVON_DATABASE_URL", database)
    assert shell.findings()["role"]["state"] == "fail"
    monkeypatch.setenv("PEREZVON_ALLOW_OWNER", "true")
    assert shell.findings()["role"]["state"] == "warn"


@pytest.mark.parametrize("words", [("serve", "--port", "0"), ("work",)])
def test_a_process_of_the_service_refuses_the_login_of_the_owner(
    shell: Shell, database: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PEREZVON_DATABASE_URL", database)
    code, _, error = shell.run(*words)
    assert code == 1
    assert "perezvon_app" in error


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
    bare_shell: Shell, server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEREZVON_DATABASE_URL", server.create_empty("perezvon_cli_bare"))
    try:
        findings = bare_shell.findings()
    finally:
        server.drop("perezvon_cli_bare")
    assert findings["schema"]["advice"] == "Run `perezvon migrate`"
    assert "fence" not in findings


def test_the_doctor_names_a_migration_that_is_missing_below_the_newest(shell: Shell, execute: Execute) -> None:
    execute("UPDATE perezvon_1.migrations SET number = 111 WHERE number = 11")
    finding = shell.findings()["schema"]
    assert (finding["state"], finding["message"]) == ("fail", "Migrations are missing: 0011_pre_calling.sql")


def test_the_doctor_names_who_locks_a_table_and_makes_the_other_checks(shell: Shell, database: str) -> None:
    with psycopg.connect(database, application_name="report") as owner:
        owner.execute("LOCK TABLE perezvon_1.tokens")
        findings = shell.findings()
        pid = owner.info.backend_pid
    assert findings["locks"]["state"] == "warn"
    assert findings["locks"]["message"].startswith(f"Session {pid} (report, user ")
    assert findings["locks"]["message"].endswith(" locks tokens")
    assert findings["access"]["state"] == "fail"
    assert {"snapshots", "clock", "view task_list"} <= findings.keys()


def test_the_doctor_says_so_when_there_is_no_database(bare_shell: Shell, tmp_path: Path) -> None:
    code, out, _ = bare_shell.run("doctor", "--data-dir", str(tmp_path))
    assert code == 1
    assert out.startswith("fail  database: No database runs in ")


def open_calls(gateway: str) -> str:
    return (
        "INSERT INTO perezvon_1.open_calls (call_id, callback_id, queue_id, organization_id, attempt, position, gateway,"
        f" fence, started_at) SELECT gen_random_uuid(), n, 1, 1, 1, n, '{gateway}', 1, now() FROM generate_series(1, 3) AS n"
    )


def lease(gateway: str, values: str) -> str:
    columns = "gateway, until, link_up, link_since, paused_until, pauses"
    return f"INSERT INTO perezvon_1.gateway_leases ({columns}) VALUES ('{gateway}', {values})"


IN_AN_HOUR = "now() + interval '1 hour'"


def test_the_doctor_sees_calls_that_nobody_follows(shell: Shell, execute: Execute) -> None:
    execute(open_calls("simulated"))
    execute(lease("asterisk", f"{IN_AN_HOUR}, true, now(), '-infinity', 0"))
    findings = shell.findings()
    left = findings["gateway simulated"]
    assert left["state"] == "fail"
    assert left["message"].startswith("3 calls are open, and no worker leads the gateway")
    assert "PEREZVON_GATEWAY=simulated" in left["advice"]
    assert findings["gateway asterisk"]["state"] == "ok"


def test_the_doctor_says_nothing_of_a_switch_that_is_no_longer_used(shell: Shell, execute: Execute) -> None:
    execute(lease("simulated", "'-infinity', false, now(), '-infinity', 0"))
    assert "gateway simulated" not in shell.findings()


def test_the_doctor_sees_a_switch_that_its_leader_does_not_reach(shell: Shell, execute: Execute) -> None:
    execute(lease("asterisk", f"{IN_AN_HOUR}, false, '2026-11-22 10:00:00Z', '-infinity', 0"))
    unreachable = shell.findings()["gateway asterisk"]
    assert unreachable["state"] == "fail"
    assert unreachable["message"].startswith("The switch is unreachable since 2026-11-22 ")


@pytest.mark.parametrize(("until", "duration"), [(IN_AN_HOUR, "3600 s"), ("now() - interval '1 s'", "0 s")])
def test_the_doctor_sees_a_switch_that_is_left_alone_for_its_congestion(
    shell: Shell, execute: Execute, until: str, duration: str
) -> None:
    execute(lease("asterisk", f"{IN_AN_HOUR}, true, now(), {until}, 2"))
    paused = shell.findings()["gateway asterisk"]
    assert paused["state"] == "warn"
    assert paused["message"].startswith("No calls start for ")
    assert f"for {duration}" in paused["message"].replace("3599 s", "3600 s")
    assert "pause 2 in a row" in paused["message"]


def test_the_doctor_names_organisations_that_are_paused(shell: Shell, execute: Execute) -> None:
    execute(lease("asterisk", f"{IN_AN_HOUR}, true, now(), '-infinity', 0"))
    execute(f"INSERT INTO perezvon_1.organization_pauses VALUES ('asterisk', 65, {IN_AN_HOUR}, 1)")
    paused = shell.findings()["gateway asterisk"]
    assert paused["state"] == "warn"
    assert paused["message"].startswith("Calls of the organisations 65 met congestion")


def test_the_doctor_names_the_oldest_snapshot(shell: Shell, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shell.findings()["oldest_snapshot"]["state"] == "ok"
    monkeypatch.setattr(horizon, "SNAPSHOT_MAX_S", -1.0)
    with psycopg.connect(service_dsn(database), application_name="report") as reader:
        reader.execute("SET default_transaction_isolation = 'repeatable read'")
        reader.commit()
        reader.execute("SELECT 1")
        held, pid = shell.findings()["oldest_snapshot"], reader.info.backend_pid
    assert held["state"] == "warn"
    assert f"session {pid} (report, " in held["message"]


def test_the_doctor_sees_that_nobody_dials_what_is_due(shell: Shell, execute: Execute) -> None:
    execute("INSERT INTO perezvon_1.queue_slots (queue_id, organization_id, is_on, slots) VALUES (1, 1, true, 5)")
    due = "INSERT INTO perezvon_1.timetable (callback_id, queue_id, organization_id, due_at, position)"
    execute(f"{due} VALUES (1, 1, 1, now() - interval '1 hour', 1), (2, 1, 1, now(), 2)")
    waiting = shell.findings()["dialling"]
    assert waiting["state"] == "fail"
    assert waiting["message"] == "1 callbacks are due, and no worker dials"
    execute(lease("asterisk", f"{IN_AN_HOUR}, true, now(), '-infinity', 0"))
    assert "dialling" not in shell.findings()


def test_the_doctor_asks_the_switch_that_is_set(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, asterisk: RealSwitch
) -> None:
    assert "switch" not in shell.findings()
    for name, value in asterisk.asterisk.environment.items():
        monkeypatch.setenv(name, value)
    found = {name: check["state"] for name, check in shell.findings().items() if name.startswith("switch")}
    assert len(found) == 8
    assert set(found.values()) == {"ok"}


def test_the_doctor_finds_a_simulated_network_that_is_not_there(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEREZVON_GATEWAY", "simulated")
    monkeypatch.setenv("PEREZVON_SIMULATOR_ADDRESS", "127.0.0.1:1")
    switch = shell.findings()["switch"]
    assert switch["state"] == "fail"
    assert "perezvon simulator" in switch["advice"]


def test_the_doctor_says_what_is_not_set_of_an_asterisk_and_never_its_secret(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEREZVON_GATEWAY", "asterisk")
    assert "PEREZVON_ASTERISK_SECRET is not set" in shell.findings()["switch"]["message"]
    monkeypatch.setenv("PEREZVON_ASTERISK_SECRET", "s3cret")
    monkeypatch.setenv("PEREZVON_ASTERISK_ADDRESS", "127.0.0.1:1")
    code, out, err = shell.run("doctor")
    assert (code, err) == (1, "")
    assert "fail  switch: The switch cannot be reached: 127.0.0.1:1" in out
    assert "s3cret" not in out
