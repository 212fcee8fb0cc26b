"""Idempotency-Key, ETag, If-Match and If-None-Match."""

import asyncio
from typing import Any

import httpx
import pytest

from domain.permissions import Role
from tests.support.office import Headers, Office

pytestmark = pytest.mark.anyio

KEY = {"Idempotency-Key": "4711"}


async def versions(office: Office, task_id: str) -> int:
    return len((await office.get(f"/api/tasks/{task_id}/history")).json()["items"])


async def reprocess(office: Office, task_id: str, headers: Headers) -> httpx.Response:
    return await office.client.post(f"/api/tasks/{task_id}/reprocess", headers={**office.agent, **headers})


async def test_the_same_key_with_the_same_body_gives_the_first_answer_again(office: Office) -> None:
    first = await office.post_task(KEY, title="x")
    again = await office.post_task(KEY, title="x")
    assert again.json() == first.json()
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Perezvon-Position"] == first.headers["Perezvon-Position"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await office.list_task_ids() == [first.json()["id"]]


async def test_the_first_answer_is_given_again_whatever_happened_since(office: Office) -> None:
    first = await office.post_task(KEY)
    await office.set_status(first.json()["id"], "cancelled")
    assert (await office.post_task(KEY)).json() == first.json()


async def test_the_same_key_with_another_body_is_refused(office: Office) -> None:
    await office.post_task(KEY, title="x")
    response = await office.post_task(KEY, title="y")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]


async def test_a_key_is_its_operators_or_its_tokens_own(office: Office, foreign: Office) -> None:
    ids = {
        (await office.post_task(KEY)).json()["id"],
        (await office.post_task({**KEY, **office.agent})).json()["id"],
        (await office.post_task({**KEY, **office.admin})).json()["id"],
        (await foreign.post_task(KEY)).json()["id"],
    }
    assert len(ids) == 4


async def test_a_key_that_raced_with_itself_files_once(office: Office) -> None:
    responses = await asyncio.gather(*(office.post_task(KEY) for _ in range(20)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["id"] for response in responses}) == 1
    assert len(await office.list_task_ids()) == 1


async def test_a_refused_request_does_not_use_up_its_key(office: Office) -> None:
    task = await office.file_task()
    assert (await reprocess(office, task["id"], KEY)).status_code == 409
    await office.set_status(task["id"], "failed")
    assert (await reprocess(office, task["id"], KEY)).status_code == 200


async def test_reprocess_and_link_appeal_heed_the_key_too(office: Office) -> None:
    task = await office.task_in_status("failed")
    first, again = [await reprocess(office, task["id"], KEY) for _ in range(2)]
    assert (again.status_code, again.json()) == (200, first.json())
    path = f"/api/tasks/{task['id']}/appeal"
    linked = [
        await office.client.post(path, json={"appeal_id": appeal}, headers={**office.agent, "Idempotency-Key": "k"})
        for appeal in ("1", "1", "2")
    ]
    assert [response.status_code for response in linked] == [200, 200, 422]
    assert linked[1].headers["Idempotency-Replayed"] == "true"


async def test_a_key_of_another_path_is_refused(office: Office) -> None:
    one, other = await office.task_in_status("failed"), await office.task_in_status("failed")
    assert (await reprocess(office, one["id"], KEY)).status_code == 200
    assert (await reprocess(office, other["id"], KEY)).status_code == 422


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ключ", "a\tb"])
async def test_a_key_that_is_not_visible_ascii_is_refused(office: Office, key: str) -> None:
    response = await office.post_task({"Idempotency-Key": key.encode()})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]


async def test_the_longest_key_is_taken(office: Office) -> None:
    assert (await office.post_task({"Idempotency-Key": "~" * 255})).status_code == 200


async def test_put_does_not_heed_the_key(office: Office) -> None:
    task = await office.file_task()
    responses = [await office.set_status(task["id"], status, KEY) for status in ("in_progress", "completed")]
    assert [response.status_code for response in responses] == [200, 200]


async def test_the_etag_is_the_version_in_quotes(office: Office) -> None:
    filed = await office.post_task()
    task_id = filed.json()["id"]
    started = await office.set_status(task_id, "in_progress")
    unchanged = await office.set_status(task_id, "in_progress")
    shown = await office.get(f"/api/tasks/{task_id}")
    first = await office.get(f"/api/tasks/{task_id}", version=1)
    tags = [response.headers["ETag"] for response in (filed, started, unchanged, shown, first)]
    assert tags == ['"1"', '"2"', '"2"', '"2"', '"1"']


@pytest.mark.parametrize("header", ['"1"', "*", '"7", "1"', ' "1" ', 'W/"1", "1"'])
async def test_a_change_whose_if_match_stands_happens(office: Office, header: str) -> None:
    task = await office.file_task()
    assert (await office.set_status(task["id"], "completed", {"If-Match": header})).status_code == 200


@pytest.mark.parametrize(
    "header", ['"2"', '"0"', "1", 'W/"1"', '"01"', "", "*, *", '"1', 'garbage "1"', '"1" "1"', "\xff"]
)
async def test_a_change_whose_if_match_is_stale_or_malformed_does_not_happen(office: Office, header: str) -> None:
    task = await office.file_task()
    response = await office.set_status(task["id"], "completed", {"If-Match": header.encode("latin-1")})
    assert response.status_code == 412
    assert (await office.get(f"/api/tasks/{task['id']}")).json() == task


CHANGES: list[tuple[str, str, Any]] = [
    ("PUT", "status", {"status": "nonsense"}),
    ("PUT", "appeal", {"appeal_id": 1}),
    ("POST", "link-appeal", b"{"),
    ("POST", "reprocess", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_if_match_is_checked_before_the_body_and_before_the_transition(
    office: Office, method: str, path: str, body: Any
) -> None:
    task = await office.file_task()
    content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    headers = {**office.agent, "If-Match": '"9"', "Content-Type": "application/json"}
    response = await office.client.request(method, f"/api/tasks/{task['id']}/{path}", headers=headers, **content)
    assert response.status_code == 412


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_if_match_is_checked_after_token_role_and_existence(
    office: Office, foreign: Office, method: str, path: str, body: Any
) -> None:
    own, theirs = await office.file_task(), await foreign.file_task()

    async def status(task_id: str, headers: Headers) -> int:
        content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        headers = {**headers, "If-Match": '"9"'}
        return (
            await office.client.request(method, f"/api/tasks/{task_id}/{path}", headers=headers, **content)
        ).status_code

    assert await status(own["id"], {}) == 401
    assert await status(own["id"], office.bearers[Role.AUDITOR]) == 403
    assert await status(theirs["id"], office.agent) == 404
    assert await status("nonsense", office.agent) == 404


async def test_of_two_that_saw_the_same_version_one_wins(office: Office) -> None:
    task = await office.file_task()
    responses = await asyncio.gather(
        *(office.set_status(task["id"], status, {"If-Match": '"1"'}) for status in ("completed", "failed"))
    )
    assert sorted(response.status_code for response in responses) == [200, 412]
    assert await versions(office, task["id"]) == 2


async def test_without_if_match_concurrent_changes_are_tried_again_on_what_stands(office: Office) -> None:
    task = await office.file_task()
    path = f"/api/tasks/{task['id']}/appeal"
    responses = await asyncio.gather(
        *(office.client.put(path, json={"appeal_id": str(n)}, headers=office.agent) for n in range(5))
    )
    assert [response.status_code for response in responses] == [200] * 5
    assert await versions(office, task["id"]) == 6


async def test_an_answer_that_was_lost_is_given_again_although_if_match_is_stale_by_then(office: Office) -> None:
    task = await office.task_in_status("failed")
    headers = {**KEY, "If-Match": '"2"'}
    first, again = [await reprocess(office, task["id"], headers) for _ in range(2)]
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_new_key_does_not_excuse_a_stale_if_match(office: Office) -> None:
    task = await office.task_in_status("failed")
    assert (await reprocess(office, task["id"], {**KEY, "If-Match": '"1"'})).status_code == 412


@pytest.mark.parametrize("header", ["*", '"1"'])
async def test_filing_matches_nothing(office: Office, header: str) -> None:
    assert (await office.post_task({"If-Match": header})).status_code == 412
    assert await office.list_task_ids() == []


@pytest.mark.parametrize(
    ("header", "status"),
    [('"2"', 304), ('W/"2"', 304), ('"1", "2"', 304), ("*", 304), ('"1"', 200), ("2", 200), ("nonsense", 200)],
)
async def test_what_the_client_has_already_is_not_sent_again(office: Office, header: str, status: int) -> None:
    task = await office.task_in_status("in_progress")
    response = await office.get(f"/api/tasks/{task['id']}", {**office.agent, "If-None-Match": header})
    assert response.status_code == status
    assert response.headers["ETag"] == '"2"'
    assert bool(response.content) == (status == 200)
