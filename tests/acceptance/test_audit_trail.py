"""``/v1/audit-trail``: who did what and why, page by page."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from domain.permissions import Role
from tests.support.office import Office
from tests.support.waiting import eventually_async

REQUEST = "0a1b2c3d4e5f40718293a4b5c6d7e8f9"

pytestmark = pytest.mark.anyio


async def trail(office: Office, **params: Any) -> dict[str, Any]:
    response = await office.get("/v1/audit-trail", office.bearers[Role.AUDITOR], **params)
    assert response.status_code == 200, response.text
    return response.json()


async def test_an_auditor_reads_who_did_what_and_why(office: Office) -> None:
    task = await office.file_task()
    await office.set_status(task["id"], "in_progress", {"X-Request-Id": REQUEST}, reason="My turn")
    stream = f"task/{task['id']}"

    async def complete() -> bool:
        return len((await trail(office, stream=stream))["items"]) == 2

    await eventually_async(complete)
    filed, started = (await trail(office, stream=stream))["items"]
    assert [filed["type"], started["type"]] == ["task.filed.v1", "task.started.v1"]
    assert started["actor"] == f"member/{office.member_id}"
    assert (started["reason"], started["causation"], started["correlation"]) == ("My turn", REQUEST, REQUEST)
    assert [row["version"] for row in (await trail(office, stream=stream, type="task.started.v1"))["items"]] == [2]
    by_operator = await trail(office, actor=f"operator/{office.operator_number}")
    assert [row["stream"] for row in by_operator["items"]] == [stream]
    since = (await trail(office, stream=stream, since=started["recorded_at"]))["items"]
    until = (await trail(office, stream=stream, until=started["recorded_at"]))["items"]
    assert ([row["version"] for row in since], [row["version"] for row in until]) == ([2], [1])


async def test_the_trail_is_read_page_by_page(office: Office) -> None:
    async def all_there() -> bool:
        return len((await trail(office))["items"]) == 10  # created with a token, a member, an operator, six tokens

    await eventually_async(all_there)
    rows: list[int] = []
    after: int | None = 0
    while after is not None:
        page = await trail(office, after=after, limit=4)
        rows += [row["position"] for row in page["items"]]
        after = page["next"]
    assert rows == [row["position"] for row in (await trail(office))["items"]]
    assert rows == sorted(rows)


async def test_the_link_of_a_page_of_the_trail_keeps_all_filters(office: Office) -> None:
    async def all_there() -> bool:
        return len((await trail(office))["items"]) == 10

    await eventually_async(all_there)
    rows: list[int] = []
    times = {"since": "2020-01-01T05:00:00.000001+05:00", "until": "2100-01-01T00:00:00"}
    response = await office.get("/v1/audit-trail", office.admin, **times, limit=4)
    while True:
        assert response.status_code == 200, response.text
        rows += [row["position"] for row in response.json()["items"]]
        if "next" not in response.links:
            break
        query = parse_qs(urlsplit(response.links["next"]["url"]).query)
        assert {name: datetime.fromisoformat(text) for name, (text,) in query.items() if name in times} == {
            "since": datetime(2020, 1, 1, 0, 0, 0, 1, UTC),
            "until": datetime(2100, 1, 1, tzinfo=UTC),
        }
        response = await office.get(response.links["next"]["url"], office.admin)
    assert len(rows) == 10
    assert rows == [row["position"] for row in (await trail(office))["items"]]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("after=-1", "after"), ("limit=0", "limit"), ("limit=1001", "limit"), ("stream=%00", "stream"),
        ("since=x", "since"), ("until=0001-01-01T00:00:00%2B10:00", "until"), ("type=%00", "type"), ("actor=%00", "actor"),
    ],
)  # fmt: skip
async def test_a_bad_question_about_the_trail_is_named(office: Office, query: str, name: str) -> None:
    response = await office.get(f"/v1/audit-trail?{query}", office.admin)
    assert response.status_code == 422
    assert [error["parameter"] for error in response.json()["errors"]] == [name]
