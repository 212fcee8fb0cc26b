"""Histories in pages: events of tasks and callbacks, the audit trail, and the limits that keep a history bounded."""

from typing import Any

import pytest

from domain.limits import TASK_ATTEMPTS_MAX
from domain.model import Envelope
from domain.streams import task_stream
from domain.task.events import Failure, TaskFailed, TaskPutBack, TaskReprocessed, TaskStarted
from tests.support.office import Office

pytestmark = pytest.mark.anyio


async def long_task(office: Office, count: int, reason: str | None = None) -> str:
    """File a task and record this many more events, each with the reason; return the path of its history."""
    task_id = (await office.file_task())["id"]
    envelope = Envelope(organization_id=office.organization_id, actor="member/m1", reason=reason)
    facts = [TaskPutBack() if number % 2 else TaskStarted() for number in range(count)]
    await office.services.log.append(task_stream(task_id), 1, facts, envelope)
    return f"/api/tasks/{task_id}/history"


async def test_a_short_history_is_one_page_without_a_next_one(office: Office) -> None:
    response = await office.get(await long_task(office, 2))
    assert response.json().keys() == {"items"}
    assert "Link" not in response.headers


async def test_a_long_history_is_read_page_by_page(office: Office) -> None:
    path = await long_task(office, 2_400)
    versions: list[int] = []
    following: str | None = path
    pages = 0
    while following:
        response = await office.get(following)
        body = response.json()
        versions += [item["version"] for item in body["items"]]
        following = response.links.get("next", {}).get("url")
        assert ("next" in body) == (following is not None)
        assert not following or body["next"] == versions[-1]
        pages += 1
    assert versions == list(range(1, 2_402))
    assert pages == 3


async def test_after_and_limit_choose_the_page(office: Office) -> None:
    path = await long_task(office, 9)
    page = await office.get(path, after=3, limit=2)
    assert [item["version"] for item in page.json()["items"]] == [4, 5]
    assert page.json()["next"] == 5
    assert page.headers["Link"] == f'<{path}?after=5&limit=2>; rel="next"'
    last = (await office.get(path, after=8, limit=2)).json()
    assert ([item["version"] for item in last["items"]], "next" in last) == ([9, 10], False)
    assert (await office.get(path, after=10)).json() == {"items": []}


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 1_001}, {"after": -1}, {"after": "x"}])
async def test_a_page_that_cannot_be_is_refused(office: Office, params: dict[str, Any]) -> None:
    path = await long_task(office, 1)
    assert (await office.get(path, **params)).status_code == 422


async def test_a_page_of_large_events_ends_early(office: Office) -> None:
    path = await long_task(office, 600, reason="р" * 10_000)
    body = (await office.get(path)).json()
    assert 90 <= len(body["items"]) <= 120  # 2 MiB
    assert body["next"] == body["items"][-1]["version"]


async def test_the_history_of_a_callback_is_paged_too(office: Office) -> None:
    queue = await office.create_queue()
    (callback,) = await office.schedule_callbacks(queue, {"a_number": "1001", "b_number": "+77012345678"})
    path = f"{queue}/task/{callback['id']}"
    assert (await office.get(f"{path}/history", office.admin, limit=1)).json().keys() == {"items"}
    assert (await office.client.delete(path, headers=office.admin)).status_code == 204
    page = await office.get(f"{path}/history", office.admin, limit=1)
    assert ([item["version"] for item in page.json()["items"]], page.json()["next"]) == ([1], 1)
    rest = await office.get(page.links["next"]["url"], office.admin)
    assert [item["type"] for item in rest.json()["items"]] == ["callback.cancelled.v1"]


async def test_a_task_is_reprocessed_a_thousand_times_at_most(office: Office) -> None:
    task_id = (await office.file_task())["id"]
    envelope = Envelope(organization_id=office.organization_id, actor="member/m1")
    failure = Failure(subject=task_id, error_message="No answer")
    facts = [TaskReprocessed(attempt=TASK_ATTEMPTS_MAX - 1), TaskFailed(personal=failure)]
    await office.services.log.append(task_stream(task_id), 1, facts, envelope)
    path = f"/api/tasks/{task_id}/reprocess"
    assert (await office.client.post(path, headers=office.agent)).json()["attempt"] == TASK_ATTEMPTS_MAX
    await office.set_status(task_id, "failed")
    refused = await office.client.post(path, headers=office.agent)
    assert refused.status_code == 422
    (error,) = refused.json()["detail"]
    assert (error["type"], "at most 1000 attempts" in error["msg"]) == ("too_many_attempts", True)


async def test_a_long_task_is_changed_and_seen_as_before(office: Office) -> None:
    path = (await long_task(office, 1_000)).removesuffix("/history")
    task_id = path.rpartition("/")[2]
    for version in range(1_001, 1_004):
        current = await office.get(path)
        assert (current.json()["status"], current.headers["ETag"]) == (
            ("pending", "in_progress")[(version + 1) % 2],
            f'"{version}"',
        )
        await office.set_status(task_id, ("in_progress", "pending")[(version + 1) % 2])
    assert (await office.get(path, version=500)).json()["status"] == "in_progress"
    assert (await office.get(path, version=1_005)).status_code == 404
