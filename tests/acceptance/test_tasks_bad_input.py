"""Invalid input to tasks: no 500, no partial change, and the response names the field."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.support.office import Office

pytestmark = pytest.mark.anyio

HUGE = 8 << 20
JSON = {"Content-Type": "application/json"}


def places(response: Any) -> list[list[str | int]]:
    assert response.status_code == 422, response.text
    return [fault["loc"] for fault in response.json()["detail"]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("operator_id", None), ("operator_id", ""), ("operator_id", 7), ("operator_id", "x" * 129),
        ("operator_id", "op_\0"), ("title", None), ("title", ""), ("title", "   "), ("title", "x" * 501),
        ("title", ["x"]), ("title", "a\0b"), ("task_type", "Callback"), ("task_type", None), ("priority", "asap"),
        ("priority", 1), ("description", "x" * 20_001), ("description", 1), ("caller_phone", ""),
        ("caller_phone", "abc"), ("caller_phone", "12"), ("caller_phone", "+7" + "1" * 40),
        ("caller_phone", 77011234567), ("caller_name", "x" * 201), ("caller_name", "\0"), ("call_id", ""),
        ("call_id", "x" * 129), ("call_id", 4711), ("recording_url", "ftp://host/x"), ("recording_url", "https://"),
        ("recording_url", "javascript:alert(1)"), ("recording_url", "https://host/" + "x" * 2_040),
        ("call_datetime", "yesterday"), ("call_datetime", 1_700_000_000), ("call_datetime", "0000-01-01T00:00:00Z"),
        ("call_datetime", "0001-01-01T00:00:00+14:00"), ("due_date", "9999-12-31T23:59:59-14:00"),
        ("due_date", "2026-13-01T00:00:00Z"), ("due_date", "2026-01-01T25:00:00Z"), ("due_date", ""),
        ("call_transcription", "x" * 1_000_001), ("call_summary", "x" * 20_001), ("call_response_summary", "\0"),
    ],
)  # fmt: skip
async def test_a_field_that_cannot_be_taken_is_named(office: Office, field: str, value: Any) -> None:
    response = await office.post_task(**{field: value})
    assert places(response) == [["body", field]]
    assert await office.list_task_ids() == []


async def test_every_bad_field_has_its_entry_in_one_answer(office: Office) -> None:
    response = await office.client.post(
        "/api/tasks", json={"title": " ", "priority": "x", "caller_phone": "call me", "due_date": "x", "call_id": 1}
    )
    assert sorted(loc[1] for loc in places(response)) == [
        "call_id", "caller_phone", "due_date", "operator_id", "priority", "title",
    ]  # fmt: skip
    assert all(fault.keys() == {"loc", "msg", "type"} for fault in response.json()["detail"])


async def test_the_longest_of_everything_is_taken(office: Office) -> None:
    longest = {
        "title": "я" * 500,
        "description": "я" * 20_000,
        "caller_name": "я" * 200,
        "call_id": "я" * 128,
        "recording_url": "https://host/" + "x" * (2_048 - 13),
        "call_transcription": "я" * 1_000_000,
        "call_summary": "я" * 20_000,
        "call_response_summary": "я" * 20_000,
        "call_datetime": "0001-01-02T00:00:00Z",
        "due_date": "9999-12-30T23:59:59.999999Z",
    }
    task = await office.file_task(**longest)
    assert {field: task[field] for field in longest} == longest
    assert await office.list_task_ids() == [task["id"]]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"title": "\xff"}', b"[]", b"null", b'"x"', b"{}}", b'{"x": ' + b"[" * 100_000, b"\0"],
)
async def test_a_body_that_is_no_json_object_is_told_of_the_whole(office: Office, body: bytes) -> None:
    response = await office.client.post("/api/tasks", content=body, headers=JSON)
    assert places(response) == [["body"]]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense"])
async def test_a_body_that_is_said_to_be_something_else_is_not_read_as_json(office: Office, kind: str) -> None:
    body = msgspec.json.encode({"operator_id": office.operator_id, "title": "x"})
    response = await office.client.post("/api/tasks", content=body, headers={"Content-Type": kind})
    assert places(response) == [["body"]]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/merge-patch+json", ""])
async def test_json_by_any_of_its_names_is_read(office: Office, kind: str) -> None:
    body = msgspec.json.encode({"operator_id": office.operator_id, "title": "x"})
    response = await office.client.post("/api/tasks", content=body, headers={"Content-Type": kind})
    assert response.status_code == 200


async def test_a_lone_surrogate_is_named(office: Office) -> None:
    body = b'{"operator_id": "%s", "title": "\\ud800"}' % office.operator_id.encode()
    response = await office.client.post("/api/tasks", content=body, headers=JSON)
    assert places(response) == [["body", "title"]]


@pytest.mark.parametrize("size", [HUGE + 1, 20 << 20])
async def test_a_body_over_8_mib_is_too_large(office: Office, size: int) -> None:
    announced = await office.client.post("/api/tasks", content=b"x" * size, headers=JSON)

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(0, size, 1 << 16):
            yield b"x" * (1 << 16)

    unannounced = await office.client.post("/api/tasks", content=trickle(), headers=JSON)
    for response in (announced, unannounced):
        assert (response.status_code, response.json()) == (413, {"detail": "Content Too Large"})


async def test_a_body_of_8_mib_is_read(office: Office) -> None:
    body = msgspec.json.encode({"operator_id": office.operator_id, "title": "x", "surprise": ""})
    body = body[:-2] + b"x" * (HUGE - len(body)) + body[-2:]
    assert len(body) == HUGE
    assert (await office.client.post("/api/tasks", content=body, headers=JSON)).status_code == 200


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("page=0", "page"), ("page=-1", "page"), ("page=1000001", "page"), ("page=x", "page"), ("page=", "page"),
        ("page=99999999999999999999999", "page"), ("per_page=0", "per_page"), ("per_page=101", "per_page"),
        ("per_page=1.5", "per_page"), ("status=open", "status"), ("status=%00", "status"), ("task_type=x", "task_type"),
        ("priority=%FF", "priority"), ("include_cancelled=maybe", "include_cancelled"), ("search=a%00b", "search"),
        ("search=%ff%fe", "search"), ("search=%ED%A0%80", "search"), ("after=7", "after"),
        ("search=" + "x" * 501, "search"), ("assigned_user_id=%00", "assigned_user_id"),
        ("caller_phone=%00", "caller_phone"), ("caller_phone=%ED%A0%80", "caller_phone"),
    ],
)  # fmt: skip
async def test_a_bad_list_parameter_is_named(office: Office, query: str, name: str) -> None:
    assert places(await office.get(f"/api/tasks?{query}")) == [["query", name]]


async def test_bad_list_parameters_are_told_together_with_a_bad_header(office: Office) -> None:
    response = await office.get("/api/tasks?page=0&per_page=0&status=x", {**office.agent, "Perezvon-Position": "-1"})
    assert sorted(map(tuple, places(response))) == [
        ("header", "Perezvon-Position"), ("query", "page"), ("query", "per_page"), ("query", "status"),
    ]  # fmt: skip


@pytest.mark.parametrize("search", ["%", "%25", "_", "\\", "'; drop table", "%F0%9F%98%80"])
async def test_any_other_search_is_harmless(office: Office, search: str) -> None:
    await office.file_task()
    response = await office.get(f"/api/tasks?search={search}")
    assert (response.status_code, response.json()["items"]) == (200, [])


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "", "99999999999999999999999", "\xff"])
async def test_a_bad_position_is_named(office: Office, position: str) -> None:
    response = await office.get("/api/tasks", {**office.agent, "Perezvon-Position": position.encode("latin-1")})
    assert places(response) == [["header", "Perezvon-Position"]]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("version=x", "version"), ("as_of=x", "as_of"), ("as_of=1700000000", "as_of"), ("as_of=%00", "as_of"),
        ("as_of=0001-01-01T00:00:00%2B14:00", "as_of"), ("as_of=9999-12-31T23:59:59-14:00", "as_of"), ("as_of=", "as_of"),
    ],
)  # fmt: skip
async def test_a_bad_version_or_time_is_named(office: Office, query: str, name: str) -> None:
    task = await office.file_task()
    assert places(await office.get(f"/api/tasks/{task['id']}?{query}")) == [["query", name]]


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("status", {}, ["body", "status"]),
        ("status", {"status": None}, ["body", "status"]),
        ("status", {"status": "done"}, ["body", "status"]),
        ("status", {"status": "failed", "reason": "\0"}, ["body", "reason"]),
        ("status", {"status": "failed", "reason": "x" * 2_001}, ["body", "reason"]),
        ("status", {"status": "failed", "error_message": 1}, ["body", "error_message"]),
        ("status", [], ["body"]),
        ("appeal", {}, ["body", "appeal_id"]),
        ("appeal", {"appeal_id": ""}, ["body", "appeal_id"]),
        ("appeal", {"appeal_id": 7}, ["body", "appeal_id"]),
        ("appeal", {"appeal_id": "x" * 129}, ["body", "appeal_id"]),
    ],
)
async def test_a_bad_change_is_named_and_records_nothing(
    office: Office, path: str, body: Any, place: list[str]
) -> None:
    task = await office.file_task()
    response = await office.client.put(f"/api/tasks/{task['id']}/{path}", json=body, headers=office.agent)
    assert places(response) == [place]
    assert (await office.get(f"/api/tasks/{task['id']}")).json() == task


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwdw==",
        "pz_0_0",
        "Bearer pz_",
        "Bearer pz__",
        "Bearer pz_a_b_c",
        "Bearer ё",
    ],
)
async def test_what_is_no_token_is_401(office: Office, header: str) -> None:
    response = await office.get("/api/tasks", {"Authorization": header.encode()})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_a_token_with_another_secret_is_401(office: Office) -> None:
    token = office.admin["Authorization"]
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    assert (await office.get("/api/tasks", {"Authorization": wrong})).status_code == 401
    assert (await office.get("/api/tasks", {"Authorization": token.replace("Bearer ", "bearer   ")})).status_code == 200
