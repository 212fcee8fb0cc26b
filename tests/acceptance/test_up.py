"""``perezvon up``: one command starts everything, and nothing remains when it ends."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infrastructure.postgres.connections import service_dsn
from tests.asterisk.real_switch import RealSwitch
from tests.support.databases import home_of_tests
from tests.support.running import Up, alive
from tests.support.shell import run
from tests.support.waiting import eventually

Start = Callable[..., Up]

CHILDREN = ("api", "simulator", "worker")
AGENTS = {f"100{n}" for n in range(1, 10)} | {"2001", "7001"}
ON_SWITCH = {  # results of the demo's callbacks on a real switch, and of their attempts
    "success: ANSWER b": 40,
    "failed: NOANSWER b no_answer": 6,
    "failed: CHANUNAVAIL b invalid_number": 6,
    "failed: BUSY b busy": 4,
    "failed: CHANUNAVAIL b rejected": 1,
    "failed: CONGESTION b congestion": 1,
    "failed: BUSY a busy": 1,
    "failed: CANCEL a abandoned": 1,
    "joined": 40,
    "b: no_answer (SIP 480 Temporarily Unavailable)": 18,
    "b: invalid_number (SIP 404 Not Found)": 18,
    "b: busy (SIP 486 Busy Here)": 12,
    "b: rejected (SIP 603 Decline)": 3,
    "b: congestion (SIP 503 Service Unavailable)": 3,
    "a: busy (SIP 486 Busy Here)": 3,
    "a: abandoned (SIP 200 OK)": 3,
}


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a data folder with a short path that all users can access."""
    folder = Path(tempfile.mkdtemp(prefix="pz", dir=home_of_tests().parent))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Yield a function that starts `perezvon up`; end all processes after the test."""
    running: list[Up] = []

    def started(*words: str, **environment: str) -> Up:
        running.append(Up(tmp_path, *words, **environment))
        return running[-1]

    yield started
    for up in running:
        if up.process.poll() is None:
            up.end()


@pytest.fixture
def up(start: Start, database: str) -> Up:
    """Return a running `perezvon up` on the database of the test."""
    return start(PEREZVON_DATABASE_URL=database)


def test_it_says_where_it_is_ready_and_nothing_else_and_a_signal_drains_its_processes(up: Up) -> None:
    assert up.responds()
    assert up.output == f"ready {up.url}\n"
    served = {line["process"]: str(line["url"]) for line in up.log if line["event"] == "metrics served"}
    assert served.keys() == {"serve", "work"}
    for url in served.values():
        assert "perezvon_share_places" in httpx.get(url, trust_env=False).text
    assert up.end(signal.SIGTERM) == 0
    assert up.output.count("\n") == 1
    assert not any(alive(pid) for name in CHILDREN for pid in up.pids(name))
    events = [line["event"] for line in up.log]
    assert {"stopping", "draining", "worker drained"} <= set(events)
    assert "process ended, restarting" not in events


def test_a_killed_process_is_started_again_on_the_same_port(up: Up) -> None:
    url = up.url
    for name in CHILDREN:
        (pid,) = up.pids(name)
        os.kill(pid, signal.SIGKILL)
    for name in CHILDREN:
        eventually(lambda name=name: len(up.pids(name)) > 1, timeout=60)
    eventually(up.responds, timeout=60)
    assert up.url == url
    restarted = [line for line in up.log if line["event"] == "process ended, restarting"]
    assert sorted((line["process"], line["code"]) for line in restarted) == [(name, -9) for name in CHILDREN]


def test_its_worker_dials_a_simulated_network_of_its_own_which_it_says_and_again_when_that_was_lost(up: Up) -> None:
    def reached() -> int:
        return sum(line["event"] == "switch connected" for line in up.log)

    assert up.url
    assert "no phone rings" in [line["event"] for line in up.log]
    eventually(lambda: reached() == 1, timeout=60)
    (pid,) = up.pids("simulator")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: reached() == 2, timeout=60)


def test_with_a_simulator_named_it_starts_none(start: Start, database: str) -> None:
    up = start(PEREZVON_DATABASE_URL=database, PEREZVON_SIMULATOR_ADDRESS="127.0.0.1:1")
    assert up.url
    eventually(lambda: any(line["event"] == "switch unreachable" for line in up.log), timeout=60)
    assert up.pids("simulator") == []


def test_with_an_asterisk_named_it_starts_no_network_and_says_that_phones_ring(start: Start, database: str) -> None:
    secret = {"PEREZVON_ASTERISK_SECRET": "s3cret", "PEREZVON_ASTERISK_TRUNK": "carrier"}
    up = start("--asterisk", "127.0.0.1:1", PEREZVON_DATABASE_URL=database, **secret)
    assert up.url
    (warned,) = [line for line in up.log if line["event"] == "dialling over a real switch: phones ring"]
    assert warned["through"] == "the trunk carrier of the Asterisk at 127.0.0.1:1"
    eventually(lambda: any(line["event"] == "dialling over a gateway" for line in up.log), timeout=60)
    assert up.pids("simulator") == []
    assert up.end() == 0
    assert "s3cret" not in f"{up.log}{up.output}"


@pytest.mark.parametrize(
    ("words", "environment", "message"),
    [
        (("--asterisk", "pbx"), {}, "PEREZVON_ASTERISK_SECRET is not set"),
        (("--asterisk", "pbx:0"), {"PEREZVON_ASTERISK_SECRET": "s"}, "PEREZVON_ASTERISK_ADDRESS: "),
        (("--demo",), {"PEREZVON_GATEWAY": "asterisk"}, "PEREZVON_GATEWAY names a real switch"),
    ],
)
def test_a_real_switch_that_cannot_be_meant_is_refused_before_anything_starts(
    words: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    ended = run("up", "--port", "0", *words, **environment, PEREZVON_DATABASE_URL="host=nowhere.invalid")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(message)


def test_the_demo_does_not_begin_on_a_switch_that_is_not_ready(asterisk: RealSwitch) -> None:
    environment = {**asterisk.asterisk.environment, "PEREZVON_ASTERISK_SECRET": "wr0ng"}
    ended = run("up", "--port", "0", "--demo", "--asterisk", asterisk.asterisk.address, **environment)
    assert (ended.returncode, ended.stdout) == (1, "")
    message, advice = ended.stderr.splitlines()
    assert message.startswith(f"switch: {asterisk.asterisk.address} refuses the login of perezvon: ")
    assert "[perezvon]" in advice
    assert "wr0ng" not in ended.stderr


def test_a_second_one_on_the_same_folder_joins_and_the_last_one_stops_postgres(start: Start, home: Path) -> None:
    first = start("--data-dir", str(home))
    assert first.url
    postgres = _postmaster(home)
    second = start("--data-dir", str(home))
    assert second.url != first.url
    assert first.end(signal.SIGINT) == 0
    assert second.responds()
    assert _postmaster(home) == postgres
    assert second.end() == 0
    assert not alive(postgres)


def test_when_it_is_killed_its_processes_end_and_the_last_one_stops_postgres(start: Start, home: Path) -> None:
    up = start("--data-dir", str(home))
    assert up.url
    left = [*(pid for name in CHILDREN for pid in up.pids(name)), _postmaster(home)]
    assert up.end(signal.SIGKILL) == -signal.SIGKILL
    for pid in left:
        eventually(lambda pid=pid: not alive(pid), timeout=60)


def test_a_killed_postgres_is_started_again(start: Start, home: Path) -> None:
    up = start("--data-dir", str(home))
    assert up.url
    postgres = _postmaster(home)
    os.kill(postgres, signal.SIGKILL)
    eventually(lambda: _postmaster(home) not in {postgres, 0}, timeout=60)
    eventually(up.responds, timeout=60)
    assert up.end() == 0
    assert _postmaster(home) == 0


def test_the_demo_calls_people_back_and_prints_lines_that_work_as_they_are_and_leaves_nothing(
    start: Start, home: Path
) -> None:
    up = start("--demo", TMPDIR=str(home), PEREZVON_SIMULATED_SPEED="200")
    assert up.url
    eventually(lambda: "Ctrl-C" in up.output, timeout=150)
    _report_adds_up(up.output)
    (warned,) = [line for line in up.log if line["event"] == "webhooks may go to private networks"]
    assert warned["networks"] == ["127.0.0.1/32"]
    lines = re.findall(r"^  (curl .*)$", up.output, re.MULTILINE)
    _lines_on_tasks_work(lines[:7])
    _lines_on_callbacks_work(lines[7:])
    assert httpx.get(f"{up.url}/docs", trust_env=False).is_success
    assert up.end() == 0
    assert list(home.iterdir()) == []


def test_the_demo_on_a_real_switch_dials_what_it_said_and_tells_what_came_of_it(
    start: Start, home: Path, asterisk: RealSwitch
) -> None:
    before = len(asterisk.phones.invites())
    real = asterisk.asterisk
    up = start("--demo", "--asterisk", real.address, **{**real.environment, "PEREZVON_GATEWAY": ""}, TMPDIR=str(home))
    eventually(lambda: "Ctrl-C" in up.output, timeout=240)
    warned, _, reported = up.output.partition("60 people were called back, in ")
    assert f"Through the trunk trunk of the Asterisk at {real.address}" in " ".join(warned.split())
    announced = set(re.findall(r"[0-9]{4}", warned.partition("these extensions")[2]))
    dialled = Counter(invite.number for invite in asterisk.phones.invites()[before:])
    assert announced - set(dialled) == {"1164"}, "A of that callback is busy"
    assert set(dialled) < announced
    (attempts, retries) = _figures(r"Attempts: (\d+), (\d+) of them retries, by the outcome", reported)
    assert (attempts, retries) == (100, 40)
    assert sum(count for number, count in dialled.items() if number in AGENTS) == attempts
    assert _counted(reported) == ON_SWITCH
    (most, limit) = _figures(r"Most calls at once: (\d+) recorded; the limits are 6 \+ 4 = (\d+)", reported)
    assert 2 <= most <= limit == 10
    assert _figures(r"Webhooks: (\d+) of (\d+) delivered; (\d+) verified, 0 refused", reported) == [200, 200, 200]
    lines = re.findall(r"^  (curl .*)$", reported, re.MULTILINE)
    _lines_on_tasks_work(lines[:7])
    _lines_on_callbacks_work(lines[7:])
    assert up.end() == 0


def _report_adds_up(output: str) -> None:
    """Check the demo's report: 300 callbacks, 10 more for tasks, within the limit, and every webhook."""
    outcomes = {outcome: int(count) for count, outcome in re.findall(r"^ +(\d+)  (\w+: .*)$", output, re.MULTILINE)}
    assert sum(outcomes.values()) == 310
    assert outcomes["success: ANSWER b"] > 150
    assert outcomes["failed: CHANUNAVAIL b invalid_number"] > 0
    (attempts, retries, twice) = _figures(
        r"Attempts: (\d+), (\d+) of them retries, (\d+) of them dialled twice", output
    )
    assert attempts - retries == 310
    assert retries > 100
    assert twice == 0
    (most, limit) = _figures(r"Most calls at once: (\d+) there; the limits are 12 \+ 8 = (\d+)", output)
    assert 2 <= most <= limit == 20
    (delivered, sent, verified, refused, disordered) = _figures(
        r"Webhooks: (\d+) of (\d+) delivered; (\d+) verified, (\d+) refused, \d+ repeated, (\d+) out of order", output
    )
    assert delivered == sent == verified > 900
    assert refused == disordered == 0
    assert sum(_figures(r"Tasks carried out: (\d+) completed, (\d+) failed", output)) == 10


def _counted(output: str) -> dict[str, int]:
    """Return the number in each counting line of the report, by its text."""
    return {what: int(count) for count, what in re.findall(r"^ +(\d+)  (\S.*)$", output, re.MULTILINE)}


def _figures(pattern: str, output: str) -> list[int]:
    (found,) = re.findall(pattern, output)
    return [int(figure) for figure in found]


def _lines_on_tasks_work(lines: list[str]) -> None:
    waiting, found, task, history, before, taken, filed = (_output_of(line) for line in lines)
    assert waiting["total"] > 50
    assert {item["status"] for item in waiting["items"]} == {"pending"}
    assert found["total"] > 10
    assert all("доставк" in item["title"].lower() for item in found["items"])
    assert (task["status"], task["attempt"]) == ("pending", 2)
    assert [item["type"] for item in history["items"]][-2:] == ["task.failed.v1", "task.reprocessed.v1"]
    assert (before["id"], before["status"]) == (task["id"], "failed")
    assert taken["status"] == "in_progress"
    assert filed["caller_phone"] == "+77010001122"
    assert "If-Match" in lines[5]
    assert _output_of(lines[5])["detail"], "the second time the version is another"


def _lines_on_callbacks_work(lines: list[str]) -> None:
    queues, board, callback, history, deliveries, (new,) = (_output_of(line) for line in lines)
    assert [queue["status"] for queue in queues] == ["on", "on"]
    assert [queue["id"] for queue in board["items"]] == [queue["id"] for queue in queues]
    assert callback["status"] == "finished"
    types = [item["type"].removeprefix("callback.").removesuffix(".v1") for item in history["items"]]
    assert types[:5] == ["scheduled", "attempt_started", "attempt_failed", "delayed", "attempt_started"]
    assert [item["kind"] for item in deliveries["items"]][:2] == ["before", "before_again"]
    assert {item["state"] for item in deliveries["items"]} == {"delivered"}
    as_printed = (lines[2], lines[4])
    finished, delivered = (line.replace(str(callback["id"]), str(new["id"])) for line in as_printed)
    eventually(lambda: _output_of(finished)["finish_result"] == "success", timeout=60)
    eventually(lambda: [item["state"] for item in _output_of(delivered)["items"]] == ["delivered"], timeout=60)


def test_the_lines_of_the_readme_work_as_they_are(up: Up, database: str, tmp_path: Path) -> None:
    text = Path(__file__).parents[2].joinpath("README.md").read_text()
    demo, *lines = "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)).splitlines()
    assert demo == "./run up --demo"
    for as_written, here in (
        ("http://127.0.0.1:8080", up.url),
        ("./run", f"{sys.executable} -P -m interfaces.cli"),
        ("curl -s", r"curl -s -w '\n'"),
    ):
        lines = [line.replace(as_written, here) for line in lines]
    environment = {**os.environ, "PEREZVON_DATABASE_URL": service_dsn(database), "PEREZVON_OWNER_URL": database}
    run = subprocess.run(
        ["sh", "-c", "\n".join(lines)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.stderr == ""
    pending, found, done, history, before = (json.loads(line) for line in run.stdout.splitlines() if line[0] == "{")
    assert pending["total"] == found["total"] == 1
    assert (done["status"], before["status"]) == ("completed", "pending")
    assert len(history["items"]) == 2
    assert "task.completed.v1" in run.stdout
    placed, listed = (json.loads(line) for line in run.stdout.splitlines() if line[0] == "[")
    assert [callback["b_number"] for callback in placed] == ["+77010001001", "+77010002002"]
    assert [callback["id"] for callback in listed] == [callback["id"] for callback in placed]
    assert "Orders" in run.stdout
    assert "secret: whsec_" in run.stdout
    assert "ok    worker: " in run.stdout


def _output_of(line: str) -> Any:
    return json.loads(subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout)


def _postmaster(home: Path) -> int:
    """Return the process id of the postmaster, or 0 if none runs."""
    try:
        return int((home / "own/data/postmaster.pid").read_text().partition("\n")[0] or 0)
    except FileNotFoundError:
        return 0
