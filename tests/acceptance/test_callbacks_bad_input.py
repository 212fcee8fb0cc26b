"""Invalid input to queues and callbacks: no 500, no partial change, and the response names element and field."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.support.office import NUMBERS, QUEUES, Office

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


def fields(response: Any) -> list[str]:
    assert response.status_code == 422, response.text
    refusal = response.json()
    assert refusal.keys() == {"message", "status", "errors"}
    assert refusal["status"] == "validation_error"
    assert all(fault.keys() == {"field", "message"} for fault in refusal["errors"])
    return [fault["field"] for fault in refusal["errors"]]


async def sent(office: Office, queue: str, body: bytes, **headers: str) -> Any:
    return await office.client.post(f"{queue}/task", content=body, headers={**office.admin, **JSON, **headers})


async def nothing_is_stored(office: Office, queue: str) -> bool:
    return (await office.get(f"{queue}/task/")).json() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("a_number", None), ("a_number", ""), ("a_number", "1"), ("a_number", 101), ("a_number", "abc"),
        ("a_number", "123456789"), ("a_number", "+7701"), ("a_number", "+" + "7" * 63), ("b_number", "\0" * 5),
        ("b_number", "x" * 65), ("b_number", "+99977010001001"), ("b_number", ["1002"]), ("name", "x" * 201), ("name", 1),
        ("name", "a\0b"), ("extension_id", "204"), ("extension_id", -1), ("extension_id", 2**53), ("extension_id", 1.5),
        ("try_count", 0), ("try_count", 51), ("try_count", "3"), ("try_count", True), ("try_again_pause", -1),
        ("try_again_pause", "-1"), ("try_again_pause", 604_801), ("try_again_pause", "604801"), ("try_again_pause", ""),
        ("try_again_pause", "1.5"), ("try_again_pause", "٣"), ("try_again_pause", "9" * 5_000),
        ("start_time_utc", "tomorrow"), ("start_time_utc", ""), ("start_time_utc", -1), ("start_time_utc", 31_536_001),
        ("start_time_utc", "31536001"), ("start_time_utc", "9" * 5_000), ("start_time_utc", "2026-02-30 10:00:00"),
        ("start_time_utc", "2026-11-22T10:00:00Z"), ("start_time_utc", "2026-11-22 25:00:00"),
        ("start_time_utc", "9999-12-31 23:59:59"), ("start_time_utc", "0000-01-01 00:00:00"),
        ("start_time_utc", "0001-01-01 00:00:00"), ("start_time_utc", "2026-11-22 10:00"), ("start_time_utc", 2**70),
        ("url_before", "ftp://crm.example/x"), ("url_before", ""), ("url_before", "https://"), ("url_before", 1),
        ("url_before_again", "https://crm.example/" + "x" * 2_040), ("url_before_again", "http://localhost/x"),
        ("url_success", "http://127.0.0.1/"), ("url_success", "http://[::1]/"), ("url_success", "http://10.1.2.3/x"),
        ("url_success", "http://2130706433/"), ("url_after", "http://169.254.169.254/latest/meta-data"),
        ("url_after", "javascript:alert(1)"), ("url_after", "https://user:secret@crm.example/"),
        ("url_after", "https://crm.example:22/"),
    ],
)  # fmt: skip
async def test_a_bad_field_is_named_with_its_element_and_nothing_is_stored(
    office: Office, field: str, value: Any
) -> None:
    queue = await office.create_queue()
    response = await office.post_callbacks(queue, {}, {}, {}, {field: value}, {})
    assert fields(response) == [f"tasks[3].{field}"]
    assert await nothing_is_stored(office, queue)


@pytest.mark.parametrize("missing", ["a_number", "b_number"])
async def test_both_numbers_are_required(office: Office, missing: str) -> None:
    queue = await office.create_queue()
    task = {name: number for name, number in NUMBERS.items() if name != missing}
    response = await sent(office, queue, msgspec.json.encode({"tasks": [NUMBERS, task]}))
    assert fields(response) == [f"tasks[1].{missing}"]


async def test_all_faults_of_all_elements_are_told_up_to_fifty(office: Office) -> None:
    queue = await office.create_queue()
    response = await office.post_callbacks(queue, {"try_count": 0, "name": 1}, {}, {"url_after": 1}, 7)
    assert fields(response) == ["tasks[0].name", "tasks[0].try_count", "tasks[2].url_after", "tasks[3]"]
    response = await office.post_callbacks(
        queue, {"b_number": "x1y2"}, {"url_after": "http://[::1]/", "a_number": "+00"}
    )
    assert fields(response) == ["tasks[0].b_number", "tasks[1].a_number", "tasks[1].url_after"]
    for bad in ({"try_count": 0}, {"b_number": "x1y2"}, {"start_time_utc": "2026-02-30 00:00:00"}):
        assert len(fields(await office.post_callbacks(queue, *[bad] * 100))) == 50
    assert await nothing_is_stored(office, queue)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"), (b"[]", "body"), (b"{}", "tasks"), (b"nonsense", "body"), (b'{"tasks":', "body"),
        (b'{"tasks":{}}', "tasks"), (b'{"tasks":null}', "tasks"), (b'{"tasks":[]}', "tasks"), (b'{"tasks":[1]}', "tasks[0]"),
        (b'{"tasks":[[]]}', "tasks[0]"), (b'{"tasks":["\xff"]}', "tasks[0]"), (b'{"tasks":[{"name":"\\ud800"}]}', "tasks[0].name"),
        (b'{"tasks":' + b"[" * 5_000 + b"]" * 5_000 + b"}", None), (b'{"tasks":[{}],"tasks":7}', "tasks"),
    ],
)  # fmt: skip
async def test_a_body_that_is_no_list_of_callbacks_is_told_where(
    office: Office, body: bytes, field: str | None
) -> None:
    queue = await office.create_queue()
    found = fields(await sent(office, queue, body))
    assert field is None or found[0] == field
    assert await nothing_is_stored(office, queue)


@pytest.mark.parametrize("element", [b"{}", b'{"a_number":"1001","b_number":"1002"}', b"1"])
async def test_more_than_ten_thousand_are_refused_and_none_is_stored(office: Office, element: bytes) -> None:
    queue = await office.create_queue()
    body = b'{"tasks":[' + b",".join([element] * 10_001) + b"]}"
    assert fields(await sent(office, queue, body)) == ["tasks"]
    assert await nothing_is_stored(office, queue)


@pytest.mark.parametrize("element", [b"{}", b'",[{"', b'{"x":[1,2,{"y":"],\\""}]}', b"[[],[]]"])
async def test_millions_of_elements_are_refused_before_they_are_made(office: Office, element: bytes) -> None:
    queue = await office.create_queue()
    body = b'{"tasks":[' + b",".join([element] * 600_000) + b"]}"
    assert fields(await sent(office, queue, body)) == ["tasks"]


async def test_many_commas_inside_texts_and_unknown_keys_are_no_elements(office: Office) -> None:
    queue = await office.create_queue()
    more = {"name": "," * 200, "unknown": ["," * 1_000, [0] * 1_000, {"x": '"],[{'}]}
    callbacks = await office.schedule_callbacks(queue, *[more] * 300)
    assert len(callbacks) == 300


async def test_a_body_over_16_mib_is_refused_and_one_of_16_is_read(office: Office) -> None:
    queue = await office.create_queue()
    task = b'{"tasks":[{"a_number":"1001","b_number":"1002","unknown":"' + b"x" * (16 << 20)
    body = task[: (16 << 20) - 4] + b'"}]}'
    assert len(body) == 16 << 20
    assert (await sent(office, queue, body)).status_code == 201
    over = await sent(office, queue, body + b" ")
    assert (over.status_code, over.json()["status"]) == (413, "body_too_large")


async def test_a_chunked_body_over_16_mib_is_refused_too(office: Office) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * (1 << 20)

    queue = await office.create_queue()
    response = await office.client.post(f"{queue}/task", content=chunks(), headers={**office.admin, **JSON})
    assert response.status_code == 413


async def test_other_bodies_may_have_8_mib_only(office: Office) -> None:
    body = b'{"name":"x","unknown":"' + b"x" * (8 << 20) + b'"}'
    response = await office.client.post(QUEUES, content=body, headers={**office.admin, **JSON})
    assert (response.status_code, response.json().keys()) == (413, {"message", "status"})


async def test_a_body_that_is_said_to_be_something_else_is_refused(office: Office) -> None:
    queue = await office.create_queue()
    response = await sent(office, queue, b'{"tasks":[]}', **{"Content-Type": "text/plain"})
    assert (response.status_code, response.json()["status"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", None), ("name", ""), ("name", " "), ("name", "x" * 201), ("name", 1), ("name", "a\0b"),
        ("comment", "x" * 2_001), ("comment", 1), ("comment", "\0"), ("status", "ON"), ("status", True), ("status", ""),
        ("concurrent_task_limit", 0), ("concurrent_task_limit", 10_001), ("concurrent_task_limit", "1"),
        ("concurrent_task_limit", 1.5), ("interval_id", 1), ("interval_id", "1"),
    ],
)  # fmt: skip
async def test_a_bad_field_of_a_queue_is_named_and_nothing_changes(office: Office, field: str, value: Any) -> None:
    response = await office.post_queue(**{field: value})
    assert fields(response) == [field]
    assert (await office.get(QUEUES)).json() == []
    if value is None:
        return
    queue = await office.create_queue()
    before = (await office.get(queue)).json()
    response = await office.client.put(queue, json={"status": "on", field: value}, headers=office.admin)
    assert fields(response) == [field]
    assert (await office.get(queue)).json() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("page", "0"), ("page", "x"), ("per_page", "1001"), ("per_page", "0"), ("after", "-1"), ("limit", "1001"),
        ("limit", "0"), ("after", "9" * 30), ("status", "cancelled"), ("finish_result", "maybe"),
    ],
)  # fmt: skip
async def test_a_bad_parameter_of_a_list_is_named(office: Office, name: str, value: str) -> None:
    queue = await office.create_queue()
    assert fields(await office.get(f"{queue}/task", None, **{name: value})) == [name]


async def test_a_bad_idempotency_key_is_named(office: Office) -> None:
    queue = await office.create_queue()
    response = await office.post_callbacks(queue, {}, headers={**office.admin, "Idempotency-Key": "a b"})
    assert fields(response) == ["Idempotency-Key"]


@pytest.mark.parametrize(
    "path", ["/client", "/client/@me/nothing", "/api/ver1.0/nothing", "/client/@me/task_scheduler/1/x"]
)
async def test_a_path_that_there_is_not_is_told_in_the_dialect(office: Office, path: str) -> None:
    response = await office.get(path)
    assert (response.status_code, response.json()) == (404, {"message": "Not Found", "status": "not_found"})


async def test_a_method_that_there_is_not_is_told_in_the_dialect(office: Office) -> None:
    response = await office.client.patch(QUEUES, headers=office.admin)
    assert (response.status_code, response.json()["status"]) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
