"""The examples, as their READMEs tell to run them: a CRM in two languages against the real service."""

import http.client
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from infrastructure.postgres.connections import service_dsn
from tests.support.crm import EXAMPLES, Crm, lines_of_readme, message
from tests.support.databases import DatabaseServer
from tests.support.node import find_node
from tests.support.running import Up
from tests.support.shell import run
from tests.support.waiting import eventually

ROOT = EXAMPLES.parent
WRONG_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Example(NamedTuple):
    """The start command of an example, for its own organisation at a running service."""

    name: str
    command: list[str]
    environment: dict[str, str]
    database: str

    @property
    def api(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.environment['CRM_TOKEN']}"}
        return httpx.Client(base_url=self.environment["CRM_PEREZVON_URL"], headers=headers, trust_env=False)

    def callbacks(self) -> list[dict[str, Any]]:
        with self.api as api:
            return api.get(f"/api/ver1.0/client/@me/task_scheduler/{self.environment['CRM_QUEUE_ID']}/task/").json()

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Return all tasks by the name of the customer."""
        with self.api as api:
            found = api.get("/api/tasks", params={"per_page": 100}).json()["items"]
        return {task["caller_name"]: task for task in found}

    def wait_for_tasks(self, expected: dict[str, str]) -> None:
        """Wait until the tasks of these customers have that status."""
        eventually(lambda: {name: self.tasks()[name]["status"] for name in expected} == expected, timeout=60)


@pytest.fixture(scope="module")
def perezvon(
    server: DatabaseServer, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Start a service whose webhooks may go to this machine and whose operators file slowly; yield its address and its database."""
    name = f"{template}_examples"
    database = server.create(name, template=template)
    environment = {
        "PEREZVON_DATABASE_URL": service_dsn(database),
        "PEREZVON_OWNER_URL": database,
        "PEREZVON_WEBHOOK_ALLOW_NETS": "127.0.0.0/8",
        "PEREZVON_SIMULATED_SPEED": "200",
        "PEREZVON_OPERATOR_RATE": "2",
        "PEREZVON_OPERATOR_BURST": "2",
    }
    up = Up(tmp_path_factory.mktemp("perezvon"), **environment)
    try:
        yield up.url, database
    finally:
        up.end()
        server.drop(name)


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folder of a copy of the example with its dependencies, and the Node.js that runs it."""
    node = find_node()
    folder = tmp_path_factory.mktemp("typescript") / "crm"
    shutil.copytree(EXAMPLES / "crm-typescript", folder, ignore=shutil.ignore_patterns("node_modules"))
    node.install(folder)
    return folder, node.program


@pytest.fixture(scope="module", params=["crm-python", "crm-typescript"])
def example(
    request: pytest.FixtureRequest, perezvon: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Example:
    """Return an example with what the first lines of its README create for it: an organisation, a token, a queue."""
    url, database = perezvon
    if request.param == "crm-typescript":
        folder, node = request.getfixturevalue("typescript")
        command = [str(node), str(folder / "src/main.ts")]
    else:
        command = [sys.executable, "-m", "crm"]
    here = {"./run": f"{sys.executable} -P -m interfaces.cli", "http://127.0.0.1:8080": url}
    made = subprocess.run(
        ["sh", "-ec", f"{lines_of_readme(request.param, **here)[0]}\nORGANIZATION=$ORGANIZATION env -0"],
        cwd=tmp_path_factory.mktemp("readme"),
        env={**os.environ, "PEREZVON_DATABASE_URL": service_dsn(database), "PEREZVON_OWNER_URL": database},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    variables = (line.partition("=") for line in made.stdout.split("\0"))
    environment = {name: value for name, _, value in variables if name.startswith(("CRM_", "ORGANIZATION"))}
    environment |= {"CRM_PEREZVON_URL": url, "CRM_PAUSE_SECONDS": "0", "PYTHONPATH": str(EXAMPLES / "crm-python")}
    return Example(request.param, command, environment, database)


@pytest.fixture
def start(example: Example, tmp_path: Path) -> Iterator[Callable[..., Crm]]:
    """Start CRMs of the example, and end them."""
    running: list[Crm] = []

    def started(**environment: str) -> Crm:
        (folder := tmp_path / str(len(running))).mkdir()
        running.append(Crm(example.command, folder, example.environment | environment))
        return running[-1]

    yield started
    for crm in running:
        crm.kill()


@pytest.fixture
def crm(start: Callable[..., Crm]) -> Crm:
    """Return a CRM that runs."""
    return start()


def test_the_lines_of_the_readme_bring_each_customer_to_the_state_that_it_says(example: Example, crm: Crm) -> None:
    number = f"80 {len(example.name)}"  # that phone is busy the first time; all examples share the network
    (_, lines) = lines_of_readme(example.name, **{"http://127.0.0.1:8090": crm.url, "80 03": number})
    curl = subprocess.run(["sh", "-ec", lines], capture_output=True, text=True, timeout=60, check=True)
    assert curl.stderr == ""
    expected = {"Айгуль": ("reached", 1, 3), "Boris": ("failed", 3, 4), "Carla": ("reached", 2, 4)}
    customers = crm.wait_for(expected | {"Daniyar": ("failed", 0, 0)})
    assert customers["Айгуль"]["reason"] is None
    assert customers["Boris"]["reason"].startswith("BUSY b busy")
    assert customers["Daniyar"]["reason"].startswith("422: caller_phone: ")
    assert customers["Daniyar"]["task_id"] is None
    example.wait_for_tasks({"Айгуль": "completed", "Boris": "failed", "Carla": "completed"})
    assert example.tasks()["Boris"]["error_message"] == customers["Boris"]["reason"]
    assert {example.tasks()[name]["id"] for name in expected} == {customers[name]["task_id"] for name in expected}
    assert re.search(r"perezvon: 429: .*; trying again in 1\.[0-2] s", crm.log), "the operator files two a second"


def test_a_webhook_that_is_not_genuine_is_refused_and_changes_nothing(crm: Crm) -> None:
    customer = crm.add("Refused", "7")
    crm.wait_for({"Refused": ("failed", 0, 0)})
    body = message(customer, "finished", 9, result="success")
    genuine = crm.sign(body, message_id="msg_1")
    forged = [
        {},
        crm.sign(body, message_id="msg_1", secret=WRONG_SECRET),
        crm.sign(body, message_id="msg_1", age_s=310),
        crm.sign(body, message_id="msg_1", age_s=-310),
        crm.sign(body + b" ", message_id="msg_1"),
        *(genuine | {"webhook-id": other} for other in ("msg_2", "")),
        *(genuine | {"webhook-timestamp": other} for other in ("soon", "1e99", "")),
        *(genuine | {"webhook-signature": other} for other in ("v1", "v1,", "v1,!", "v2,aGk=", ",", "")),
        genuine | {"webhook-signature": genuine["webhook-signature"].replace("v1,", "v1a,")},
    ]
    assert [crm.deliver(body, headers) for headers in forged] == [401] * len(forged)
    assert crm.deliver(b"\xff", genuine) == 401
    crm.wait_for({"Refused": ("failed", 0, 0)})


def test_a_webhook_counts_once_and_an_old_one_changes_no_state(crm: Crm) -> None:
    customer = crm.add("Repeated", "7")
    crm.wait_for({"Repeated": ("failed", 0, 0)})

    def deliver(message_id: str, event: str, sequence: int, **data: Any) -> int:
        body = message(customer, event, sequence, **data)
        signed = crm.sign(body, message_id=message_id)
        rotated = crm.sign(body, message_id=message_id, secret=WRONG_SECRET)["webhook-signature"]
        return crm.deliver(body, signed | {"webhook-signature": f"{rotated} {signed['webhook-signature']}"})

    for _ in range(2):
        assert deliver("msg_1", "attempt_started", 2, attempt=1) == 204
        crm.wait_for({"Repeated": ("calling", 1, 1)})
    assert deliver("msg_3", "attempt_succeeded", 3, attempt=1) == 204
    assert deliver("msg_2", "attempt_started", 2, attempt=7) == 204
    crm.wait_for({"Repeated": ("reached", 1, 3)})
    assert deliver("msg_4", "of_a_later_version", 4) == 204
    crm.wait_for({"Repeated": ("reached", 1, 4)})
    assert deliver("msg_5", "cancelled", 5) == 204
    crm.wait_for({"Repeated": ("cancelled", 1, 5)})


def test_a_crm_that_is_killed_goes_on_where_it_was_and_calls_nobody_twice(example: Example, crm: Crm) -> None:
    expected: dict[str, tuple[str, int, int]] = {}
    for phone, state, attempts, webhooks in (("1", "reached", 1, 3), ("2", "failed", 3, 4), ("1", "reached", 1, 3)):
        name = f"Killed {len(expected)}"
        crm.add(name, f"+7 701 000 {phone}0 0{len(expected)}")
        expected[name] = (state, attempts, webhooks)
        crm.kill()
        crm.start()
    customers = crm.wait_for(expected)
    example.wait_for_tasks(
        {name: {"reached": "completed"}.get(state, state) for name, (state, _, _) in expected.items()}
    )
    crm.kill()
    with sqlite3.connect(crm.database) as table:  # as if it had been killed before it read the responses
        table.execute("UPDATE customers SET state = 'pending', task_id = NULL, callback_id = NULL")
    table.close()
    crm.start()
    eventually(lambda: all(one["callback_id"] for one in crm.customers().values()), timeout=60)
    ids = {name: (one["task_id"], one["callback_id"]) for name, one in crm.customers().items()}
    assert ids == {name: (one["task_id"], one["callback_id"]) for name, one in customers.items()}
    mine = {one["id"] for one in customers.values()}
    assert len([callback for callback in example.callbacks() if callback["name"] in mine]) == len(mine)


def test_while_the_secret_is_rotated_the_old_one_and_the_new_one_verify(
    example: Example, crm: Crm, start: Callable[..., Crm]
) -> None:
    words = ("webhook-secret", "rotate", "--organization", example.environment["ORGANIZATION"], "--overlap", "1h")
    rotated = json.loads(run(*words, "--json", PEREZVON_DATABASE_URL=service_dsn(example.database)).stdout)["secret"]
    follower = start(CRM_WEBHOOK_SECRET=rotated)
    for one, name in ((crm, "Old"), (follower, "New")):
        one.add(name, "+7 701 000 10 01")
        one.wait_for({name: ("reached", 1, 3)})


def test_what_cannot_be_read_is_refused(crm: Crm) -> None:
    refused = [
        ("GET", "/", "", 404),
        ("POST", "/", "{}", 404),
        *(("POST", "/customers", content, 400) for content in ("", "[1]", "null", '{"name": "A", "phone": 7}')),
    ]
    for method, path, content, status in refused:
        assert httpx.request(method, crm.url + path, content=content, trust_env=False).status_code == status
    connection = http.client.HTTPConnection(crm.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/webhooks")
    connection.putheader("Content-Length", "65537")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert crm.customers() == {}


def test_a_setting_that_is_missing_or_wrong_is_named(example: Example) -> None:
    for name, value in (("CRM_TOKEN", ""), ("CRM_PORT", "http")):
        environment = {**os.environ, **example.environment, name: value}
        ended = subprocess.run(
            example.command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 1
        assert ended.stderr.startswith(f"{name} is ")


def test_the_types_of_the_typescript_example_are_sound(typescript: tuple[Path, Path]) -> None:
    folder, node = typescript
    command = [node, "node_modules/.bin/tsc", "--noEmit"]
    checked = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_examples_take_packages_of_the_public_indexes_alone_and_those_that_are_tested() -> None:
    lock = json.loads((EXAMPLES / "crm-typescript/package-lock.json").read_text())
    packages = [package for path, package in lock["packages"].items() if path]
    assert packages
    assert all(package["resolved"].startswith("https://registry.npmjs.org/") for package in packages)
    assert all(package["integrity"].startswith("sha512-") for package in packages)
    pins = (EXAMPLES / "crm-python/requirements.txt").read_text().splitlines()
    assert {pin for pin in pins if f"\n{pin} \\\n" not in (ROOT / "requirements.lock").read_text()} == set()
