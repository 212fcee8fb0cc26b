"""The dial table: each number is read, stored and refused alike in both contracts, in tasks and on the command line."""

import json

import pytest

from tests.support.dial_table import ROWS, TEXT_OF_UNREADABLE, UNREADABLE, Row
from tests.support.office import Office, Service
from tests.support.shell import Shell

pytestmark = pytest.mark.anyio
pytest_plugins = ["tests.support.shells"]
REGIONS = sorted({row.region for row in ROWS})


def rows_of(region: str) -> list[Row]:
    return [row for row in ROWS if row.region == region]


async def office_in(service: Service, region: str) -> Office:
    office = await service.office()
    await office.change_settings(region=region)
    return office


@pytest.mark.parametrize("region", REGIONS)
async def test_callbacks(service: Service, region: str) -> None:
    office = await office_in(service, region)
    queue = await office.create_queue()
    actual = {(row.text, leg): await callback(office, queue, row, leg) for row in rows_of(region) for leg in "ab"}
    assert actual == {(row.text, leg): row.stored or row.rule for row in rows_of(region) for leg in "ab"}


async def callback(office: Office, queue: str, row: Row, leg: str) -> str | None:
    numbers = {"a_number": "20", "b_number": "20", f"{leg}_number": row.text}
    response = await office.post_callbacks(queue, numbers)
    if response.status_code == 201:
        return response.json()[0][f"{leg}_number"]
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    assert error["field"] == f"tasks[0].{leg}_number"
    return (
        UNREADABLE
        if error["message"].startswith((TEXT_OF_UNREADABLE, "Expected `str`"))
        else error["message"].split(":")[0]
    )


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("task_type", ["callback", "order"])
async def test_tasks(service: Service, region: str, task_type: str) -> None:
    office = await office_in(service, region)
    await office.change_settings(callback_queue=int((await office.create_queue()).rsplit("/", 1)[1]))
    rows = [row for row in rows_of(region) if not row.is_extension]
    actual = {row.text: await task(office, row, task_type) for row in rows}
    assert actual == {row.text: row.stored or (row.rule if must_refuse(row, task_type) else "filed") for row in rows}


def must_refuse(row: Row, task_type: str) -> bool:
    return task_type == "callback" or row.rule == UNREADABLE


async def task(office: Office, row: Row, task_type: str) -> str | None:
    response = await office.post_task(task_type=task_type, caller_phone=row.text)
    if response.status_code == 200:
        return response.json()["caller_phone"] if row.stored else "filed"
    assert response.status_code == 422, response.text
    (error,) = response.json()["detail"]
    assert error["loc"] == ["body", "caller_phone"]
    return error["type"]


@pytest.mark.parametrize("region", REGIONS)
async def test_filters(service: Service, region: str) -> None:
    office = await office_in(service, region)
    for row in rows_of(region):
        if row.stored is None or row.is_extension:
            continue
        filed = await office.file_task(caller_phone=row.text)
        found = await office.list_task_ids(caller_phone=row.text, per_page=1)
        assert found == [filed["id"]]


def test_operators_on_the_command_line(shell: Shell) -> None:
    actual: dict[Row, str | None] = {}
    for region in REGIONS:
        made = shell.json("organization", "create", region, "--region", region)
        for row in rows_of(region):
            actual[row] = operator(shell, str(made["id"]), row)
    assert actual == {row: row.stored or row.rule for row in ROWS}


def operator(shell: Shell, organization: str, row: Row) -> str | None:
    words = ("operator", "add", "Line", "--organization", organization, f"--number={row.text}", "--json")
    code, _, printed = shell.run(*words)
    if code == 0:
        return shell.json("operator", "list", "--organization", organization)["items"][-1]["number"]
    assert code == 2
    message: str = json.loads(printed)["error"]["message"].removeprefix("number: ")
    return UNREADABLE if message.startswith(TEXT_OF_UNREADABLE) else message.split(":", maxsplit=1)[0]
