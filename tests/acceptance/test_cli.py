"""The command line, as users and programs run it."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import click
import pytest

from application.callers import Caller, Request
from application.tasks import FileTask, TaskResult
from domain.permissions import Role
from domain.task.events import CallDetails
from domain.task.task import Status
from infrastructure.operations.subscribers import HANDLERS
from infrastructure.postgres.connections import service_dsn
from interfaces.bootstrap.services import Services, services
from interfaces.cli import main, perezvon
from tests.support.databases import DatabaseServer
from tests.support.shell import Shell, run

pytest_plugins = ["tests.support.shells"]

T = TypeVar("T")


def test_with_json_a_command_prints_one_object_on_standard_output_and_nothing_else(database: str) -> None:
    done = run("organization", "create", "Городская служба", "--json", PEREZVON_DATABASE_URL=database)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    created = json.loads(done.stdout)
    assert created.pop("token").startswith("pz_")
    assert created == {"id": 1, "name": "Городская служба"}


def test_with_json_a_refusal_is_one_object_on_standard_error_and_nothing_else(database: str) -> None:
    done = run("member", "add", "X", "--organization", "65", "--json", PEREZVON_DATABASE_URL=database)
    assert done.returncode == 2
    assert done.stdout == ""
    assert json.loads(done.stderr) == {"error": {"code": "not_found", "message": "No such organisation"}}


def test_the_first_token_is_an_admins(shell: Shell, acme: str) -> None:
    (token,) = shell.json("token", "list", "--organization", acme)["items"]
    assert (token["name"], token["role"], token["revoked_at"]) == ("first admin", "admin", None)


def test_the_operator_id_is_the_key_that_files_tasks(shell: Shell, acme: str, database: str) -> None:
    member = shell.json("member", "add", "Айгуль", "--organization", acme)["id"]
    words = ("operator", "add", "Line 1", "--organization", acme, "--number", "1001", "--member", member)
    operator = shell.json(*words)
    assert operator["number"] == 1
    filed = _with_services(database, lambda found: _file(found, operator["id"]))
    assert (filed.task.assigned_user_id, filed.task.operator_number) == (member, 1)
    (listed,) = shell.json("operator", "list", "--organization", acme)["items"]
    assert listed == {"id": 1, "name": "Line 1", "number": "1001", "member_id": member}


def test_a_renewed_operator_has_a_new_id_and_a_removed_one_is_gone(shell: Shell, acme: str) -> None:
    old = shell.json("operator", "add", "Line 1", "--organization", acme)["id"]
    new = shell.json("operator", "renew", "1", "--organization", acme)
    assert new["number"] == 1
    assert new["id"] != old
    assert shell.json("operator", "remove", "1", "--organization", acme) == {"number": 1}
    assert shell.json("operator", "list", "--organization", acme) == {"items": []}


def test_a_members_token_may_do_no_more_than_the_member(shell: Shell, acme: str) -> None:
    member = shell.json("member", "add", "Нурлан", "--organization", acme, "--role", "agent")["id"]
    words = ("token", "issue", "--organization", acme, "--member", member)
    code, error = shell.refusal(*words, "--role", "admin")
    assert (code, error["code"]) == (2, "role_too_high")
    assert shell.json(*words, "--role", "agent")["token"].startswith("pz_")


def test_a_token_may_expire_and_may_be_revoked_once(shell: Shell, acme: str) -> None:
    words = ("token", "issue", "--organization", acme, "--role", "auditor")
    passing = shell.json(*words, "--expires-in", "90d")["id"]
    dated = shell.json(*words, "--expires-at", "2999-01-31T18:00:00+05:00")["id"]
    tokens = {row["id"]: row for row in shell.json("token", "list", "--organization", acme)["items"]}
    assert tokens[dated]["expires_at"] == "2999-01-31T13:00:00Z"
    assert tokens[passing]["expires_at"] > tokens[passing]["issued_at"]
    assert shell.json("token", "revoke", dated) == {"id": dated}
    code, error = shell.refusal("token", "revoke", dated)
    assert (code, error["code"]) == (2, "not_found")


@pytest.mark.parametrize(
    "words",
    [
        ("--expires-in", "90"),
        ("--expires-in", "0d"),
        ("--expires-at", "tomorrow"),
        ("--expires-at", "2020-01-01"),
        ("--expires-in", "1d", "--expires-at", "2999-01-01"),
        ("--role", "king"),
        ("--member", "nobody"),
        ("--organization", "0"),
        ("--organization", "99999999999999999999"),
        ("--name", "\udcff"),
    ],
)
def test_bad_input_is_exit_code_2_and_a_sentence(shell: Shell, acme: str, words: tuple[str, ...]) -> None:
    code, error = shell.refusal("token", "issue", "--organization", acme, "--role", "agent", *words)
    assert code == 2
    assert error["message"]


def test_settings_are_changed_one_by_one_and_stand_on_record(shell: Shell, acme: str) -> None:
    shell.json("organization", "set", acme, "--timezone", "Asia/Almaty", "--callback-queue", "65")
    words = (
        "--region",
        "RU",
        "--no-open-intake",
        "--no-callback-queue",
        "--callback-tries",
        "5",
        "--callback-pause",
        "60",
        "--caller-id",
        "8 (495) 123-45-67",
        "--retry-policy",
        '{"outcomes": {"busy": {"pause": 120}}, "jitter_percent": 10}',
        "--limit",
        "waiting=50000",
        "--dial-regions",
        "ru, UZ",
        "--dial-types",
        "mobile,fixed_line",
        "--extensions",
        "100-199",
        "--only-extensions",
    )
    shown = shell.json("organization", "set", acme, *words)
    expected = {
        "id": 1,
        "region": "RU",
        "timezone": "Asia/Almaty",
        "open_intake": False,
        "callback_queue": None,
        "callback_tries": 5,
        "callback_pause": 60,
        "caller_id": "+74951234567",
        "retry_policy": {
            "outcomes": {"busy": {"retry": True, "pause": 120}},
            "jitter_percent": 10,
            "free_congestions": 0,
        },
        "limits": {"waiting": 50000},
        "home_region": None,
        "dial_regions": ["RU", "UZ"],
        "dial_types": ["mobile", "fixed_line"],
        "extensions": "100-199",
        "only_extensions": True,
        "caller_ids": ["+74951234567"],
    }
    assert shown == expected
    last = shell.json("history", "organization/1")["items"][-1]
    assert (last["type"], last["actor"]) == ("organization.settings_changed.v1", "cli")
    (row,) = shell.json("organization", "list")["items"]
    assert {"id": row["id"], **row["settings"]} == expected


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "Give a setting"),
        (("--timezone", "Mars"), "timezone"),
        (("--callback-tries", "0"), "callback_tries"),
        (("--region", "XX"), "region"),
        (("--limit", "cows=5"), "'cows=5' is not one of queues, members"),
        (("--limit", "waiting=many"), "'waiting=many' is not one of"),
        (("--limit", "organization_rate=0"), "limits.organization_rate: Expected 1 to"),
        (("--limit", "waiting=9999999999"), "limits.waiting: Expected 0 to"),
        (("--no-limit", "cows"), "'cows' is not one of"),
        (("--dial-regions", "KZ,001"), "dial_regions"),
        (("--dial-regions", ""), "dial_regions"),
        (("--dial-types", "mobile,satellite"), "satellite"),
        (("--extensions", "100-1999"), "'100-1999' is not a range"),
        (("--extensions", "199-100"), "'199-100' is not a range"),
        (("--only-extensions",), "Name the extensions first"),
        (("--remove-caller-id", "1001"), "1001 is not among the caller ids"),
        (("--caller-id", "+77011234567 ext. 5"), "without an extension"),
        (("--caller-id", "nobody"), "caller_id"),
        (("--caller-id", ""), "caller_id"),
        (("--caller-id", "1001", "--no-caller-id"), "Give either --caller-id or --no-caller-id, not both"),
        (("--retry-policy", "{"), "--retry-policy"),
        (("--retry-policy", "null"), "--retry-policy"),
        (("--retry-policy", '{"jitter": 5}'), "`jitter`"),
        (("--retry-policy", '{"outcomes": {"lost": {}}}'), "`lost`"),
        (("--retry-policy", '{"outcomes": {"busy": {"pause": -1}}}'), "$.outcomes.busy.pause"),
        (("--retry-policy", "[" * 100_000), "--retry-policy"),
        (("--retry-policy", "{}", "--no-retry-policy"), "Give either --retry-policy or --no-retry-policy, not both"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(shell: Shell, acme: str, words: tuple[str, ...], named: str) -> None:
    code, error = shell.refusal("organization", "set", acme, *words)
    assert code == 2
    assert named in error["message"]


def test_a_caller_id_and_a_retry_policy_are_taken_back(shell: Shell, acme: str) -> None:
    shell.json("organization", "set", acme, "--caller-id", "1001", "--retry-policy", "{}")
    shown = shell.json("organization", "set", acme, "--no-caller-id")
    assert (shown["caller_id"], shown["retry_policy"]["outcomes"]) == (None, {})
    assert shell.json("organization", "set", acme, "--no-retry-policy")["retry_policy"] is None


def test_limits_are_added_changed_and_taken_back_one_by_one(shell: Shell, acme: str) -> None:
    shell.json("organization", "set", acme, "--limit", "waiting=5", "--limit", "tokens=2")
    shown = shell.json("organization", "set", acme, "--limit", "waiting=7", "--no-limit", "tokens")
    assert shown["limits"] == {"waiting": 7}
    shell.json("organization", "set", acme, "--limit", "members=0")
    code, error = shell.refusal("member", "add", "Нурлан", "--organization", acme, "--role", "agent")
    assert (code, error["code"]) == (2, "limit_reached")


@pytest.mark.parametrize("what", ["member", "operator", "token"])
def test_an_unknown_organisation_has_no_lists(shell: Shell, what: str) -> None:
    assert shell.refusal(what, "list", "--organization", "65")[1]["code"] == "not_found"


def test_people_read_lines_and_tables(shell: Shell, acme: str) -> None:
    code, out, _ = shell.run("organization", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["id", "1"]
    assert "name: Acme" in shell.run("replay", "organization/1")[1]
    assert "organization.created.v1" in shell.run("history", "organization/1")[1]


def test_a_task_is_replayed_to_any_version_and_time(shell: Shell, acme: str, database: str) -> None:
    filed, done = _worked_on(shell, acme, database)
    items = shell.json("history", filed.task.id)["items"]
    assert [(item["version"], item["type"]) for item in items] == [(1, "task.filed.v1"), (2, "task.completed.v1")]
    assert items[1]["reason"] == "settled"
    assert items[0]["data"]["personal"]["title"] == "Перезвонить"
    stream = f"task/{filed.task.id}"
    assert shell.json("replay", stream)["status"] == "completed"
    assert shell.json("replay", stream, "--version", "1")["status"] == "pending"
    assert shell.json("replay", stream, "--as-of", items[0]["recorded_at"])["version"] == 1
    assert shell.json("replay", stream, "--as-of", done.task.updated_at.isoformat())["version"] == 2


def test_a_history_is_shown_page_by_page(shell: Shell, acme: str, database: str) -> None:
    task_id = _worked_on(shell, acme, database)[0].task.id
    first = shell.json("history", task_id, "--limit", "1")
    assert ([item["version"] for item in first["items"]], first["next"]) == ([1], 1)
    last = shell.json("history", task_id, "--after", "1")
    assert ([item["version"] for item in last["items"]], "next" in last) == ([2], False)
    assert "More follow: add --after 1" in shell.run("history", task_id, "--limit", "1")[1]


def test_what_was_not_yet_and_what_is_not_is_refused(shell: Shell, acme: str) -> None:
    assert shell.refusal("replay", "organization/1", "--as-of", "2020-01-01")[1]["code"] == "not_yet"
    assert shell.refusal("replay", "organization/1", "--version", "3")[1]["code"] == "no_such_version"
    assert shell.refusal("history", "organization/65")[1]["code"] == "no_such_stream"
    assert shell.refusal("history", "planet/1")[1]["code"] == "usage"
    assert shell.refusal("replay", "organization/1", "--version", "1", "--as-of", "2020-01-01")[0] == 2


@pytest.mark.parametrize(
    "words", [("organization", "list"), ("serve", "--port", "0"), ("work",), ("history", "task/1")]
)
def test_an_older_schema_is_refused_until_it_is_migrated(
    bare_shell: Shell, server: DatabaseServer, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PEREZVON_DATABASE_URL", server.create_empty("perezvon_cli_old"))
    try:
        code, _, err = bare_shell.run(*words)
        assert code == 1
        assert "perezvon migrate" in err
        assert "0001_pre_event_log.sql" in bare_shell.json("migrate")["applied"]
        assert bare_shell.json("migrate") == {"applied": []}
        assert bare_shell.json("organization", "list") == {"items": []}
    finally:
        server.drop("perezvon_cli_old")


def test_a_database_that_is_away_is_a_sentence(bare_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEREZVON_DATABASE_URL", "host=/nonexistent user=perezvon")
    code, error = bare_shell.refusal("organization", "list")
    assert (code, error["code"]) == (1, "storage_away")


def test_an_address_that_is_none_is_refused_without_repeating_it(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEREZVON_DATABASE_URL", "postgres:secret@host")
    code, error = bare_shell.refusal("organization", "list")
    assert (code, error["code"]) == (2, "bad_setting")
    assert "secret" not in error["message"]


@pytest.mark.parametrize("words", [("organization", "list"), ("migrate",), ("retry-parked",)])
def test_without_any_database_a_sentence_says_what_to_do(
    bare_shell: Shell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, error = bare_shell.refusal(*words, "--data-dir", str(tmp_path))
    assert (code, error["code"]) == (1, "no_database")
    assert "perezvon up" in error["message"]


@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_port_in_use_is_a_sentence(shell: Shell, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, _, err = shell.run(command, "--port", str(other.getsockname()[1]))
    assert code == 1
    assert err.startswith("Cannot listen on 127.0.0.1 port ")


def test_streams_that_are_not_parked_need_no_retry(shell: Shell) -> None:
    names = [report["name"] for report in shell.json("retry-parked")["items"]]
    assert names == sorted(HANDLERS)


def test_what_nobody_foresaw_is_a_sentence_too_and_a_traceback_for_who_wants_one(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_dsn: str, _name: str) -> None:
        raise RuntimeError("never seen")

    monkeypatch.setattr("interfaces.commands.views.retry_parked_streams", broken)
    code, error = shell.refusal("retry-parked")
    assert (code, error["code"]) == (1, "unexpected")
    assert error["message"].startswith("RuntimeError: never seen.")
    monkeypatch.setenv("PEREZVON_LOG_LEVEL", "debug")
    assert main(["retry-parked"]) == 1
    assert "in broken" in capsys.readouterr().err


def test_a_setting_that_cannot_be_read_is_named(bare_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEREZVON_SHUTDOWN_SECONDS", "soon")
    code, error = bare_shell.refusal("organization", "list")
    assert (code, error["code"]) == (2, "bad_setting")
    assert "PEREZVON_SHUTDOWN_SECONDS" in error["message"]


def test_nothing_is_said_to_a_reader_who_has_gone(database: str) -> None:
    command = [sys.executable, "-P", "-m", "interfaces.cli", "organization", "list"]
    environment = {**os.environ, "PEREZVON_DATABASE_URL": database}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == b""
    assert listing.returncode == 1


def _commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, *path, name)
        else:
            yield (*path, name)


@pytest.mark.parametrize("words", list(_commands(perezvon)), ids=" ".join)
def test_each_command_is_taught_by_its_help_with_an_example_and_by_the_docs(
    bare_shell: Shell, words: tuple[str, ...]
) -> None:
    code, out, _ = bare_shell.run(*words, "--help")
    assert code == 0
    assert f"perezvon {' '.join(words)}" in out.partition("Example")[2].partition("Options:")[0]
    assert f"`perezvon {' '.join(words)}" in Path(__file__).parents[2].joinpath("docs/commands.md").read_text()


def _with_services(dsn: str, use: Callable[[Services], Awaitable[T]]) -> T:
    async def used() -> T:
        async with services(service_dsn(dsn)) as found:
            return await use(found)

    return asyncio.run(used())


async def _file(found: Services, key: str) -> TaskResult:
    command = FileTask(operator_key=key, details=CallDetails(subject="", title="Перезвонить"))
    return await found.tasks.file(command, Request(request_id="r1"), await found.tasks.operator(key))


def _worked_on(shell: Shell, acme: str, dsn: str) -> tuple[TaskResult, TaskResult]:
    key = shell.json("operator", "add", "Line 1", "--organization", acme)["id"]
    request = Request(request_id="r2", caller=Caller(organization_id=int(acme), token_id="t", role=Role.AGENT))

    async def worked(found: Services) -> tuple[TaskResult, TaskResult]:
        filed = await _file(found, key)
        done = await found.tasks.change_status(
            filed.task.id, Status.COMPLETED, request, reason="settled", error_message=None
        )
        return filed, done

    return _with_services(dsn, worked)
