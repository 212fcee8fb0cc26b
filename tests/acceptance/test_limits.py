"""Limits of organisations over HTTP: each is refused by name, and other organisations are not affected."""

import asyncio
from typing import Any

import pytest

from tests.support.office import Office, Service
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio


async def limited(office: Office, **limits: int | None) -> None:
    await office.change_settings(limits=limits)


def is_refused(response: Any, name: str, limit: int) -> None:
    assert response.status_code == 422, response.text
    assert f"`{name}` of the organisation is {limit}" in response.text


@pytest.mark.parametrize(
    ("name", "path", "body", "present"),
    [
        ("members", "/v1/members", {"name": "Нурлан"}, 1),
        ("operators", "/v1/operators", {"name": "Line 2"}, 1),
        ("tokens", "/v1/tokens", {"role": "agent"}, 7),
    ],
)
async def test_access_is_limited(office: Office, name: str, path: str, body: Any, present: int) -> None:
    await limited(office, **{name: present + 1})
    assert (await office.client.post(path, json=body, headers=office.admin)).status_code == 201
    refused = await office.client.post(path, json=body, headers=office.admin)
    is_refused(refused, name, present + 1)
    assert refused.json()["code"] == "limit_reached"
    await limited(office, **{name: None})
    assert (await office.client.post(path, json=body, headers=office.admin)).status_code == 201


async def test_queues_are_limited_until_one_is_deleted(office: Office) -> None:
    await limited(office, queues=2)
    queue = await office.create_queue()
    await office.create_queue()
    refused = await office.post_queue()
    is_refused(refused, "queues", 2)
    assert refused.json()["status"] == "validation_error"
    assert refused.json()["errors"] == [{"field": "body", "message": refused.json()["errors"][0]["message"]}]
    deleted = await office.client.delete(queue, headers=office.admin)
    assert deleted.status_code == 204
    assert (await office.post_queue()).status_code == 201
    is_refused(await office.post_queue(), "queues", 2)


async def test_waiting_callbacks_are_limited_all_or_none_and_over_all_queues(service: Service, office: Office) -> None:
    await limited(office, waiting=3)
    one, two = await office.create_queue(), await office.create_queue()
    await office.schedule_callbacks(one, {}, {})
    is_refused(await office.post_callbacks(two, {}, {}), "waiting", 3)
    (last,) = await office.schedule_callbacks(two, {})
    is_refused(await office.post_callbacks(one, {}), "waiting", 3)
    other = await service.office()
    await other.schedule_callbacks(await other.create_queue(), *[{}] * 4)
    for _ in range(3):
        deleted = await office.client.delete(f"{two}/task/{last['id']}", headers=office.admin)
        assert deleted.status_code == 204
        (last,) = await office.schedule_callbacks(two, {})
        is_refused(await office.post_callbacks(one, {}), "waiting", 3)


async def test_a_task_that_would_schedule_a_callback_counts_as_one_that_waits(office: Office) -> None:
    queue = int((await office.create_queue()).rsplit("/", 1)[1])
    await limited(office, waiting=0)
    callback: dict[str, Any] = {"task_type": "callback", "caller_phone": "+77011234567"}
    await office.file_task(**callback)  # the organisation has no callback queue
    await office.change_settings(callback_queue=queue)
    refused = await office.post_task(**callback)
    is_refused(refused, "waiting", 0)
    assert [error["type"] for error in refused.json()["detail"]] == ["limit_reached"]
    await office.file_task(task_type="order", caller_phone="+77011234567")
    await office.file_task(task_type="callback")


@pytest.mark.parametrize("limits", [{"waiting": 5}, {}])
async def test_limits_are_not_set_over_http(office: Office, limits: Any) -> None:
    refused = await office.client.patch("/v1/organization/settings", json={"limits": limits}, headers=office.admin)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/limits"]


async def test_open_callbacks_to_one_number_are_limited(office: Office) -> None:
    await limited(office, open_per_number=2)
    queue = await office.create_queue()
    many = [{"b_number": "+77011234567"}, {"b_number": "8 701 123 45 67"}, {"b_number": "+77011234567;ext=5"}]
    refused = await office.post_callbacks(
        queue, *many, {"b_number": "1001"}, {"b_number": "1001"}, {"b_number": "1001"}
    )
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["tasks[2].b_number"]
    assert refused.json()["errors"][0]["message"].startswith("open_per_number: At most 2")
    await office.schedule_callbacks(queue, *many[:2])
    await eventually_async(lambda: is_limited(office, queue))
    await office.change_settings(callback_queue=int(queue.rsplit("/", 1)[1]))
    task = await office.post_task(task_type="callback", caller_phone="+77011234567")
    assert task.status_code == 422
    assert [(error["loc"][-1], error["type"]) for error in task.json()["detail"]] == [
        ("caller_phone", "open_per_number")
    ]
    await office.file_task(task_type="order", caller_phone="+77011234567")
    await office.schedule_callbacks(queue, {"b_number": "+77011234568"})
    as_a = await office.post_callbacks(queue, {"a_number": "+77011234567", "b_number": "1001"})
    assert [error["field"] for error in as_a.json()["errors"]] == ["tasks[0].a_number"]


async def failed_callback_task(office: Office, queue: str) -> str:
    """File a task that schedules a callback, let it fail, and return its path once no callback of it waits."""
    await office.change_settings(callback_queue=int(queue.rsplit("/", 1)[1]))
    path = f"/api/tasks/{(await office.file_task(task_type='callback', caller_phone='+77011234567'))['id']}"
    failed = await office.client.put(f"{path}/status", json={"status": "failed"}, headers=office.admin)
    assert failed.status_code == 200, failed.text
    return path


async def reprocess(office: Office, path: str, key: str) -> Any:
    return await office.client.post(f"{path}/reprocess", headers={**office.agent, "Idempotency-Key": key})


async def test_a_task_that_is_reprocessed_needs_room_for_its_callback_like_a_new_one(office: Office) -> None:
    queue = await office.create_queue()
    path = await failed_callback_task(office, queue)
    for name in ("open_per_number", "waiting"):
        await limited(office, **{name: 0})
        refused = await reprocess(office, path, "again")
        assert refused.status_code == 422
        assert name in refused.text
        assert (await office.get(path)).json()["status"] == "failed"
        await limited(office, **{name: None})
    first, replayed = await reprocess(office, path, "again"), await reprocess(office, path, "again")
    assert (first.status_code, first.json()["attempt"]) == (200, 2)
    await limited(office, open_per_number=0)
    assert (replayed.status_code, replayed.json()) == (200, first.json())
    assert (await reprocess(office, path, "once-more")).status_code == 409  # the status is looked at first


async def test_tasks_that_are_reprocessed_share_the_quota_of_a_number(office: Office) -> None:
    queue = await office.create_queue()
    paths = [await failed_callback_task(office, queue) for _ in range(4)]
    await limited(office, open_per_number=2)

    async def is_free() -> bool:
        """Return whether none of the failed tasks' callbacks waits any more."""
        (row,) = (await office.get("/v1/queue-board")).json()["items"]
        return row["waiting"] == 0 and row["oldest_due"] is None

    await eventually_async(is_free)
    answers = await asyncio.gather(*(reprocess(office, path, path) for path in paths))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 422, 422]
    (error,) = next(answer for answer in answers if answer.status_code == 422).json()["detail"]
    assert (error["loc"][-1], error["type"]) == ("caller_phone", "open_per_number")


async def test_a_task_whose_number_may_no_longer_be_called_is_not_reprocessed(office: Office) -> None:
    path = await failed_callback_task(office, await office.create_queue())
    await office.change_settings(dial_regions=["UZ"])
    refused = await reprocess(office, path, "again")
    assert refused.status_code == 422
    (error,) = refused.json()["detail"]
    assert (error["loc"][-1], error["type"]) == ("caller_phone", "region_not_allowed")


@pytest.mark.parametrize(
    ("number", "rule"),
    [("112", "emergency_number"), ("103", "emergency_number"), ("104", "short_number"), ("1001", "phone_number")],
)
async def test_a_callback_task_to_a_short_number_is_refused_with_the_rule(
    office: Office, number: str, rule: str
) -> None:
    queue = await office.create_queue()
    await office.change_settings(callback_queue=int(queue.rsplit("/", 1)[1]))
    refused = await office.post_task(task_type="callback", caller_phone=number)
    (error,) = refused.json()["detail"]
    assert (refused.status_code, error["loc"], error["type"]) == (422, ["body", "caller_phone"], rule)


async def test_requests_at_the_same_moment_share_the_quota_of_a_number(office: Office) -> None:
    await limited(office, open_per_number=3)
    queue = await office.create_queue()
    posts = [office.post_callbacks(queue, {"b_number": "+77011234567"}) for _ in range(12)]
    assert sorted([response.status_code for response in await asyncio.gather(*posts)]) == [201] * 3 + [422] * 9


async def is_limited(office: Office, queue: str) -> bool:
    """Return whether one more callback to the number is refused: the timetable lags behind the log."""
    response = await office.post_callbacks(queue, {"b_number": "+77011234567"})
    return "open_per_number" in response.text
