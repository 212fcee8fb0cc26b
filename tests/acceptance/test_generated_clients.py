"""Clients that are generated from the OpenAPI document build, and each makes five calls to a running service."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from infrastructure.postgres.connections import service_dsn
from interfaces.api.openapi.docs_page import openapi_document
from tests.clients.generators import openapi_generator, openapi_python_client, openapi_typescript
from tests.support.databases import DatabaseServer
from tests.support.running import Up
from tests.support.shell import run

EXPECTED = ["Generated", [True], "off", ["5"], [1]]
"""The output of each program: title of the task, whether the list has it, status of the queue, pauses, waiting callbacks."""

OF_OPENAPI_PYTHON_CLIENT = """
import json, os
from generated_client import AuthenticatedClient
from generated_client.api.callbacks import create_queue, schedule_callbacks, show_queue_board
from generated_client.api.tasks import file_task, list_tasks
from generated_client.models import NewCallbackBody, NewCallbacksBody, NewQueueBody, NewTaskBody

api = AuthenticatedClient(base_url=os.environ["API_URL"], token=os.environ["API_TOKEN"], httpx_args={"trust_env": False})
task = file_task.sync(client=api, body=NewTaskBody(operator_id=os.environ["OPERATOR_ID"], title="Generated"))
tasks = list_tasks.sync(client=api, search="generated", per_page=5)
queue = create_queue.sync("@me", client=api, body=NewQueueBody(name="Generated"))
callback = NewCallbackBody(a_number="1001", b_number="+77010001001", try_again_pause=5)
callbacks = schedule_callbacks.sync("@me", queue.id, client=api, body=NewCallbacksBody(tasks=[callback]))
board = show_queue_board.sync(client=api, queue=queue.id)
print(json.dumps([
    task.title, [item.id == task.id for item in tasks.items], queue.status.value,
    [made.try_again_pause for made in callbacks], [row.waiting for row in board.items],
]))
"""
OF_OPENAPI_GENERATOR = """
import json, os
from generated_client import (
    ApiClient, CallbacksApi, Configuration, NewCallbackBody, NewCallbacksBody, NewQueueBody, NewTaskBody, TasksApi,
)

configuration = Configuration(host=os.environ["API_URL"], access_token=os.environ["API_TOKEN"])
with ApiClient(configuration) as api:
    of_tasks, of_callbacks = TasksApi(api), CallbacksApi(api)
    task = of_tasks.file_task(NewTaskBody(operator_id=os.environ["OPERATOR_ID"], title="Generated"))
    tasks = of_tasks.list_tasks(search="generated", per_page=5)
    queue = of_callbacks.create_queue("@me", NewQueueBody(name="Generated"))
    callback = NewCallbackBody.from_dict({"a_number": "1001", "b_number": "+77010001001", "try_again_pause": 5})
    callbacks = of_callbacks.schedule_callbacks("@me", queue.id, NewCallbacksBody(tasks=[callback]))
    board = of_callbacks.show_queue_board(queue=queue.id)
print(json.dumps([
    task.title, [item.id == task.id for item in tasks.items], queue.status.value,
    [made.try_again_pause for made in callbacks], [row.waiting for row in board.items],
]))
"""


@pytest.fixture(scope="session")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the OpenAPI document as a file."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_bytes(openapi_document())
    return path


@pytest.fixture(scope="session")
def perezvon(
    server: DatabaseServer, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Start a service; yield its address and that of its database."""
    name = f"{template}_clients"
    database = server.create(name, template=template)
    addresses = {"PEREZVON_DATABASE_URL": service_dsn(database), "PEREZVON_OWNER_URL": database}
    up = Up(tmp_path_factory.mktemp("perezvon"), **addresses)
    try:
        yield up.url, addresses["PEREZVON_DATABASE_URL"]
    finally:
        up.end()
        server.drop(name)


@pytest.fixture
def environment(perezvon: tuple[str, str]) -> dict[str, str]:
    """Create an organisation, and return what a client needs to know of it."""
    url, database = perezvon

    def made(*words: str) -> dict[str, str]:
        return json.loads(run(*words, "--json", PEREZVON_DATABASE_URL=database).stdout)

    organization = ("--organization", str(made("organization", "create", "Generated")["id"]))
    operator = made("operator", "add", "Generated", *organization)["id"]
    token = made("token", "issue", *organization, "--role", "supervisor", "--name", "Generated")["token"]
    return {**os.environ, "API_URL": url, "API_TOKEN": token, "OPERATOR_ID": operator, "NO_PROXY": "127.0.0.1"}


def printed(command: Sequence[str], environment: dict[str, str], folder: Path) -> list[object]:
    """Return what the command prints."""
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_client_of_openapi_python_client(document: Path, environment: dict[str, str], tmp_path: Path) -> None:
    folder = openapi_python_client(document, tmp_path)
    assert printed([sys.executable, "-c", OF_OPENAPI_PYTHON_CLIENT], environment, folder) == EXPECTED


def test_a_client_of_openapi_generator(document: Path, environment: dict[str, str], tmp_path: Path) -> None:
    folder = openapi_generator(document, tmp_path)
    assert printed([sys.executable, "-c", OF_OPENAPI_GENERATOR], environment, folder) == EXPECTED


def test_a_client_of_openapi_typescript(document: Path, environment: dict[str, str], tmp_path: Path) -> None:
    command = openapi_typescript(document, tmp_path)
    assert printed(command, environment, tmp_path) == EXPECTED
