"""Callback queues over HTTP (docs/contracts/task_scheduler.md)."""

import asyncio
import re
from typing import Any

import pytest
from msgspec.structs import replace

from domain.permissions import Role
from interfaces.api.web.path_params import CLIENT_BASE_PATHS
from tests.support.office import QUEUES, UNLIMITED, Office, served

CLIENT_NOT_FOUND = "Client not found: use @me or the number of the token's organisation"

pytestmark = pytest.mark.anyio

KEYS = {"id", "name", "comment", "status", "concurrent_task_limit", "create_date_utc"}
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


async def listed(office: Office, **params: Any) -> list[int]:
    response = await office.get(QUEUES, **params)
    assert response.status_code == 200, response.text
    return [queue["id"] for queue in response.json()]


async def test_a_queue_created_with_the_least_is_off_and_runs_one_at_a_time(office: Office) -> None:
    response = await office.post_queue(name="Долги")
    assert response.status_code == 201
    queue = response.json()
    assert queue.keys() == KEYS
    assert UTC_TIME.fullmatch(queue.pop("create_date_utc"))
    assert isinstance(queue.pop("id"), int)
    assert queue == {"name": "Долги", "comment": None, "status": "off", "concurrent_task_limit": 1}


async def test_a_queue_keeps_all_that_it_was_created_with(office: Office) -> None:
    given: dict[str, Any] = {"name": "x" * 200, "comment": "я" * 2_000, "status": "on", "concurrent_task_limit": 10_000}
    queue = (await office.post_queue(**given, interval_id=None, surprise="ignored")).json()
    assert {name: queue[name] for name in given} == given
    assert (await office.get(f"{QUEUES}{queue['id']}")).json() == queue


@pytest.mark.parametrize("base", CLIENT_BASE_PATHS)
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("client", ["@me", "number"])
async def test_every_spelling_of_the_paths_is_served(office: Office, base: str, slash: str, client: str) -> None:
    client_id = str(office.organization_id) if client == "number" else client
    queues = f"{base}/{client_id}/task_scheduler"
    created = await office.client.post(f"{queues}{slash}", json={"name": "q"}, headers=office.admin)
    assert created.status_code == 201, created.text
    queue = f"{queues}/{created.json()['id']}"
    scheduled = await office.client.post(
        f"{queue}/task{slash}", json={"tasks": [{"a_number": "1001", "b_number": "1002"}]}, headers=office.admin
    )
    assert scheduled.status_code == 201, scheduled.text
    task = f"{queue}/task/{scheduled.json()[0]['id']}"
    for path in (queues, queue, f"{queue}/task", task, f"{task}/history"):
        assert (await office.get(f"{path}{slash}")).status_code == 200
    assert (await office.client.put(f"{queue}{slash}", json={}, headers=office.admin)).status_code == 200
    assert (await office.client.delete(f"{task}{slash}", headers=office.admin)).status_code == 204
    assert (await office.client.delete(f"{queue}{slash}", headers=office.admin)).status_code == 204


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "Другое"), ("comment", "до обеда"), ("comment", ""), ("status", "on"), ("concurrent_task_limit", 7)],
)
async def test_a_change_changes_what_is_named_and_leaves_the_rest(office: Office, field: str, value: Any) -> None:
    path = await office.create_queue(comment="с утра", concurrent_task_limit=3)
    before = (await office.get(path)).json()
    response = await office.client.put(path, json={field: value, "surprise": 1}, headers=office.admin)
    assert response.status_code == 200
    assert response.json() == {**before, field: value} == (await office.get(path)).json()


async def test_a_change_of_nothing_records_nothing(office: Office) -> None:
    path = await office.create_queue(status="on")
    before = await office.get(path)
    for body in ({}, {"status": "on"}, {"name": None, "comment": None, "concurrent_task_limit": None}):
        response = await office.client.put(path, json=body, headers=office.admin)
        assert (response.status_code, response.json()) == (200, before.json())
        assert response.headers["Perezvon-Position"] == before.headers["Perezvon-Position"]


async def test_changes_at_the_same_time_all_take_effect(office: Office) -> None:
    path = await office.create_queue()
    bodies: list[dict[str, Any]] = [{"status": "on"}, {"comment": "x"}, {"concurrent_task_limit": 9}]
    responses = await asyncio.gather(*(office.client.put(path, json=body, headers=office.admin) for body in bodies))
    assert [response.status_code for response in responses] == [200, 200, 200]
    queue = (await office.get(path)).json()
    assert (queue["status"], queue["comment"], queue["concurrent_task_limit"]) == ("on", "x", 9)


async def test_a_deleted_queue_is_gone_with_its_callbacks_and_cannot_be_deleted_again(office: Office) -> None:
    path = await office.create_queue()
    (callback,) = await office.schedule_callbacks(path)
    response = await office.client.delete(path, headers=office.admin)
    assert (response.status_code, response.content) == (204, b"")
    task = f"{path}/task/{callback['id']}"
    for asked in (path, f"{path}/task", task, f"{task}/history"):
        found = await office.get(asked)
        assert (found.status_code, found.json()["status"]) == (404, "not_found")
    assert (await office.client.delete(path, headers=office.admin)).status_code == 404
    assert (await office.client.delete(task, headers=office.admin)).status_code == 404
    assert (await office.client.put(path, json={"status": "on"}, headers=office.admin)).status_code == 404
    assert (await office.post_callbacks(path, {})).status_code == 404
    assert await listed(office) == []


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.ADMIN])
async def test_auditors_read_the_history_of_what_is_in_a_deleted_queue(office: Office, role: Role) -> None:
    path = await office.create_queue()
    (callback,) = await office.schedule_callbacks(path)
    await office.client.delete(path, headers=office.admin)
    response = await office.get(f"{path}/task/{callback['id']}/history", office.bearers[role])
    assert response.status_code == 200
    assert response.json()["items"][0]["type"] == "callback.scheduled.v1"


@pytest.mark.parametrize("queue", ["0", "-1", "x", "999999999999999999", "9" * 19, "1.0", "0x1", "٣"])
async def test_a_queue_that_there_is_not_is_not_found(office: Office, queue: str) -> None:
    for path in (queue, f"{queue}/task", f"{queue}/task/1", f"{queue}/task/1/history"):
        response = await office.get(f"{QUEUES}{path}")
        assert (response.status_code, response.json()["status"]) == (404, "not_found")


@pytest.mark.parametrize("client_id", ["0", "@you", "007", "x", "9" * 30])
async def test_another_client_is_not_found_whatever_is_asked_of_it(office: Office, client_id: str) -> None:
    response = await office.get(f"/client/{client_id}/task_scheduler")
    assert (response.status_code, response.json()) == (404, {"message": CLIENT_NOT_FOUND, "status": "client_not_found"})


async def test_another_organisations_client_id_and_queues_are_not_found(office: Office, foreign: Office) -> None:
    theirs = await foreign.create_queue()
    response = await office.get(theirs.replace("@me", str(foreign.organization_id)))
    assert (response.status_code, response.json()["status"]) == (404, "client_not_found")
    response = await office.get(theirs)
    assert (response.status_code, response.json()["status"]) == (404, "not_found")
    assert (await office.client.delete(theirs, headers=office.admin)).status_code == 404
    assert (await foreign.get(theirs)).status_code == 200


async def test_a_role_that_may_not_is_told_so_in_the_dialect(office: Office) -> None:
    response = await office.post_queue(office.agent)
    assert (response.status_code, response.json()["status"]) == (403, "access_denied")
    assert response.json().keys() == {"message", "status"}
    assert (await office.get(QUEUES, office.bearers[Role.ANALYST])).status_code == 403
    nobody = await office.get(QUEUES, {})
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert nobody.json().keys() == {"message", "status"}


async def test_the_list_has_the_organisations_queues_by_id_and_shows_what_was_written(office: Office) -> None:
    ids = [int((await office.create_queue(name=str(n))).rpartition("/")[2]) for n in range(3)]
    response = await office.get(QUEUES)
    assert [queue["id"] for queue in response.json()] == ids == sorted(ids)
    assert all(queue.keys() == KEYS for queue in response.json())
    assert "Link" not in response.headers
    assert response.json()[1] == (await office.get(f"{QUEUES}{ids[1]}")).json()


async def test_the_list_is_taken_in_parts_by_page_or_after_an_id(office: Office) -> None:
    ids = [int((await office.create_queue(name=str(n))).rpartition("/")[2]) for n in range(5)]
    assert await listed(office, page=2, per_page=2) == ids[2:4]
    assert await listed(office, per_page=4) == ids[:4]
    assert await listed(office, page=1) == ids
    assert await listed(office, page=9) == []
    assert await listed(office, after=ids[1], limit=2) == ids[2:4]
    assert await listed(office, after=ids[4]) == []
    both = await office.get(QUEUES, page=1, after=1)
    assert (both.status_code, both.json()["errors"][0]["field"]) == (422, "after")


@pytest.mark.parametrize("start", [{"limit": 2}, {"per_page": 2}])
async def test_the_link_header_leads_through_the_whole_list(office: Office, start: dict[str, Any]) -> None:
    ids = [int((await office.create_queue(name=str(n))).rpartition("/")[2]) for n in range(5)]
    response, found = await office.get(QUEUES, **start), list[int]()
    while True:
        found += [queue["id"] for queue in response.json()]
        if "Link" not in response.headers:
            break
        response = await office.get(response.links["next"]["url"])
    assert found == ids


async def test_the_same_key_creates_one_queue_and_another_body_is_refused(office: Office) -> None:
    headers = {**office.admin, "Idempotency-Key": "k"}
    responses = await asyncio.gather(*(office.post_queue(headers, name="q") for _ in range(5)))
    assert {response.status_code for response in responses} == {201}
    assert len({response.json()["id"] for response in responses}) == 1
    assert sorted(response.headers.get("Idempotency-Replayed", "") for response in responses) == ["", *["true"] * 4]
    await office.client.put(f"{QUEUES}{responses[0].json()['id']}", json={"status": "on"}, headers=office.admin)
    assert (await office.post_queue(headers, name="q")).json() == responses[0].json()
    other = await office.post_queue(headers, name="other")
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert other.json()["status"] == "validation_error"
    assert len(await listed(office)) == 1


async def test_rate_limits_are_told_with_limit_remaining_and_reset(office: Office) -> None:
    limited = replace(UNLIMITED, rate_limits=True, token_rate=0.5, token_burst=2)
    async with served(office.services, "", limited) as service:
        asked = [await service.client.get(QUEUES, headers=office.admin) for _ in range(3)]
    told = [[one.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")] for one in asked]
    assert told == [["2", "1", "2"], ["2", "0", "4"], ["2", "0", "4"]]
    assert [one.status_code for one in asked] == [200, 200, 429]
    assert asked[2].json() == {
        "message": "Too many requests; wait as long as Retry-After says",
        "status": "rate_limit_exceeded",
    }
    assert asked[2].headers["Retry-After"] == "2"
