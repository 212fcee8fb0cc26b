"""Bodies that are not JSON in plain UTF-8: each part of the API says what is wrong, in its own form."""

import gzip
from typing import Any

import pytest

from tests.support.office import QUEUES, Headers, Office

pytestmark = pytest.mark.anyio

TEXT = '{"name": "Привет", "title": "Привет", "operator_id": "op", "tasks": []}'
BODIES = [
    (b"\xef\xbb\xbf" + TEXT.encode(), "it begins with a byte order mark"),
    (TEXT.encode("cp1251"), "a text is not UTF-8: it contains byte 0xCF; convert it, for example from windows-1251"),
    (TEXT.encode("utf-16"), "it is UTF-16 or UTF-32; send UTF-8"),
    (gzip.compress(TEXT.encode(), mtime=0), "it is compressed with gzip; send it uncompressed"),
]
PATHS = ["/api/tasks", QUEUES, "/v1/members"]


async def post(office: Office, path: str, body: bytes, **more: str) -> Any:
    headers: Headers = {**office.admin, "Content-Type": "application/json", **more}
    return await office.client.post(path, content=body, headers=headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("body", "reason"), BODIES)
async def test_a_body_in_another_encoding_is_refused_in_words(
    office: Office, path: str, body: bytes, reason: str
) -> None:
    response = await post(office, path, body)
    assert response.status_code == 422
    assert f"Malformed JSON: {reason}" in response.text


async def test_a_callback_in_windows_1251_is_named(office: Office) -> None:
    queue = await office.create_queue()
    body = '{"tasks": [{"a_number": "1001", "b_number": "+77010001001", "name": "Привет"}]}'.encode("cp1251")
    response = await post(office, f"{queue}/task", body)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert "not UTF-8" in error["message"]


@pytest.mark.parametrize(("path", "status"), list(zip(PATHS, [422, 415, 415], strict=True)))
@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, br", "GZIP"])
async def test_a_content_coding_is_refused_with_the_one_that_is_accepted(
    office: Office, path: str, status: int, coding: str
) -> None:
    response = await post(office, path, gzip.compress(TEXT.encode(), mtime=0), **{"Content-Encoding": coding})
    assert (response.status_code, response.headers["Accept-Encoding"]) == (status, "identity")
    assert f"Content-Encoding '{coding}' is not supported: send the body uncompressed" in response.text


async def test_identity_is_no_coding(office: Office) -> None:
    response = await post(office, "/v1/members", b'{"name": "x"}', **{"Content-Encoding": "identity"})
    assert response.status_code == 201


async def test_a_leap_second_is_a_time(office: Office) -> None:
    task = await office.file_task(call_datetime="2016-12-31T23:59:60Z", due_date="2017-01-01T05:59:60+06:00")
    assert (task["call_datetime"], task["due_date"]) == ("2017-01-01T00:00:00Z", "2017-01-01T00:00:00Z")
    response = await office.get("/v1/audit-trail?until=2016-12-31T23:59:60Z", office.admin)
    assert (response.status_code, response.json()["items"]) == (200, [])
    queue = await office.create_queue()
    (callback,) = await office.schedule_callbacks(queue, {"start_time_utc": "2016-12-31 23:59:60"})
    assert callback["start_time_utc"] == "2017-01-01 00:00:00"
