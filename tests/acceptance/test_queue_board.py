"""The queue board, over HTTP and on the command line."""

import asyncio
from typing import Any

import pytest

from domain.permissions import Role
from tests.support.histories import queue_created, scheduled
from tests.support.office import Office
from tests.support.shell import Shell
from tests.support.views import open_views
from tests.support.waiting import eventually_async

pytest_plugins = ["tests.support.shells"]

FIELDS = (
    "id name status concurrent_task_limit taken waiting delayed running succeeded failed answer_rate oldest_due idle"
    " idle_until"
)


async def queue(office: Office, name: str, **fields: Any) -> int:
    """Create a queue and return its id."""
    path = "/client/@me/task_scheduler/"
    response = await office.client.post(path, json={"name": name, **fields}, headers=office.admin)
    assert response.status_code == 201, response.text
    return response.json()["id"]


@pytest.mark.anyio
async def test_the_board_shows_the_organisations_queues_as_they_were_just_written(
    office: Office, foreign: Office
) -> None:
    await queue(foreign, "not ours")
    off, on = await queue(office, "Off"), await queue(office, "On", status="on", concurrent_task_limit=3)
    response = await office.get("/v1/queue-board")
    assert response.status_code == 200
    assert response.json()["next"] is None
    first, second = response.json()["items"]
    assert set(first) == set(FIELDS.split())
    assert (first["id"], first["name"], first["status"], first["idle"]) == (off, "Off", "off", "off")
    assert (second["id"], second["concurrent_task_limit"], second["idle"]) == (on, 3, "nothing_due")
    assert int(response.headers["Perezvon-Position"]) > 0


@pytest.mark.anyio
async def test_callbacks_are_counted_and_the_oldest_due_is_told(office: Office) -> None:
    number = await queue(office, "Off")
    tasks = [{"a_number": "1001", "b_number": "1002", "start_time_utc": at} for at in ("3600", "7200")]
    path = f"/client/@me/task_scheduler/{number}/task/"
    placed = await office.client.post(path, json={"tasks": tasks}, headers=office.admin)
    assert placed.status_code == 201, placed.text

    async def is_timed() -> bool:
        (found,) = (await office.get("/v1/queue-board", queue=number)).json()["items"]
        assert (found["waiting"], found["running"], found["answer_rate"]) == (2, 0, None)
        due = found["oldest_due"]
        return due is not None and due[:19] == placed.json()[0]["start_time_utc"].replace(" ", "T")

    await eventually_async(is_timed)


@pytest.mark.anyio
async def test_the_board_comes_in_parts_and_one_queue_can_be_asked_for(office: Office, foreign: Office) -> None:
    ids = [await queue(office, f"Queue {number}") for number in range(3)]
    first = (await office.get("/v1/queue-board", limit=2)).json()
    assert ([found["id"] for found in first["items"]], first["next"]) == (ids[:2], ids[1])
    second = (await office.get("/v1/queue-board", limit=2, after=first["next"])).json()
    assert ([found["id"] for found in second["items"]], second["next"]) == (ids[2:], None)
    (alone,) = (await office.get("/v1/queue-board", queue=ids[1])).json()["items"]
    assert alone["id"] == ids[1]
    theirs = await queue(foreign, "not ours")
    assert (await office.get("/v1/queue-board", queue=theirs)).json() == {"items": [], "next": None}


@pytest.mark.anyio
@pytest.mark.parametrize("asked", [{"queue": 0}, {"queue": "x"}, {"after": -1}, {"limit": 0}, {"limit": 1001}])
async def test_what_cannot_be_asked_for_is_refused(office: Office, asked: dict[str, Any]) -> None:
    response = await office.get("/v1/queue-board", **asked)
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert next(iter(asked)) in response.text


@pytest.mark.anyio
async def test_an_analyst_sees_the_board_without_names_and_an_operator_sees_none(office: Office) -> None:
    number = await queue(office, "Должники")
    assert (await office.get("/v1/queue-board", office.bearers[Role.OPERATOR])).status_code == 403
    (row,) = (await office.get("/v1/queue-board", office.bearers[Role.ANALYST])).json()["items"]
    assert (row["id"], row["name"], row["status"], row["idle"]) == (number, "***", "off", "off")


@pytest.fixture
def queues(database: str, acme: str) -> list[int]:
    """Return the ids of two queues: one is on and has two callbacks. The views show them."""

    async def make() -> None:
        async with open_views(database) as views:
            await views.record("queue/65", queue_created("Должники"))
            await views.record("queue/129", queue_created("Опросы", concurrent_task_limit=4))
            for number in (193, 257):
                await views.record(f"callback/{number}", scheduled(queue_id=129))
            await views.catch_up("queue_board", "callback_list")

    asyncio.run(make())
    return [65, 129]


def test_the_command_line_shows_the_board(shell: Shell, acme: str, queues: list[int]) -> None:
    items = shell.json("queue-board", "--organization", acme)["items"]
    assert [(found["id"], found["waiting"], found["idle"]) for found in items] == [
        (65, 0, "nothing_due"),
        (129, 2, "nothing_due"),
    ]
    (alone,) = shell.json("queue-board", "--organization", acme, "--queue", "129")["items"]
    assert set(alone) == set(FIELDS.split())
    code, out, _ = shell.run("queue-board", "--organization", acme)
    head, *lines = out.splitlines()
    assert (code, head.split()[:4]) == (0, ["id", "name", "status", "calls"])
    assert "Опросы" in lines[1]
    assert "0 of 4" in lines[1]
    assert lines[1].endswith("nothing due")


def test_the_command_line_shows_what_happened_to_queues_and_callbacks(shell: Shell, queues: list[int]) -> None:
    (created,) = shell.json("history", f"queue/{queues[1]}")["items"]
    assert (created["type"], created["data"]["concurrent_task_limit"]) == ("queue.created.v1", 4)
    assert shell.json("replay", f"queue/{queues[0]}")["name"] == "Должники"
    (scheduled,) = shell.json("history", "callback/193")["items"]
    assert scheduled["data"]["personal"]["b_number"] == "+77010001001"
    assert shell.json("replay", "callback/193")["status"] == "scheduled"


def test_the_board_of_nobody_is_refused(shell: Shell) -> None:
    code, error = shell.refusal("queue-board", "--organization", "9")
    assert (code, error["code"]) == (2, "not_found")
