"""Lists of tasks over HTTP: order, pages, filters, search, and what analysts see."""

from typing import Any

import pytest
from msgspec.structs import replace

from application.queries.task_list import TaskListFilter, TaskPage
from domain.permissions import Role
from tests.support.office import FULL_TASK, Office, Service, served

pytestmark = pytest.mark.anyio


async def test_the_list_is_newest_first_and_paged(office: Office) -> None:
    ids = [(await office.file_task(title=f"Task {n}"))["id"] for n in range(5)][::-1]
    page = (await office.get("/api/tasks", page=2, per_page=2)).json()
    assert [task["id"] for task in page["items"]] == ids[2:4]
    assert {key: page[key] for key in ("total", "page", "per_page", "pages")} == {
        "total": 5, "page": 2, "per_page": 2, "pages": 3,
    }  # fmt: skip
    past_the_end = (await office.get("/api/tasks", page=1_000_000)).json()
    assert (past_the_end["items"], past_the_end["total"], past_the_end["pages"]) == ([], 5, 1)


@pytest.mark.parametrize(
    "filters", [{}, {"task_type": "order"}, {"search": "Заказ & 100%"}, {"search": "з"}, {"include_cancelled": "true"}]
)
async def test_the_link_leads_to_older_tasks_whatever_is_filed_meanwhile(
    office: Office, filters: dict[str, Any]
) -> None:
    ids = [(await office.file_task(title=f"Заказ & 100% {n}", task_type="order"))["id"] for n in range(7)][::-1]
    response, found = await office.get("/api/tasks", per_page=2, **filters), list[str]()
    while True:
        found += [task["id"] for task in response.json()["items"]]
        if "Link" not in response.headers:
            break
        await office.file_task(title="Заказ & 100%, newer than those of the next page", task_type="order")
        response = await office.get(response.links["next"]["url"])
        assert response.json()["page"] == 1
    assert found == ids
    assert response.json()["total"] == 10


async def test_the_link_of_a_numbered_page_leads_to_the_rest(office: Office) -> None:
    ids = [(await office.file_task())["id"] for _ in range(5)][::-1]
    response = await office.get("/api/tasks", per_page=2, page=2)
    rest = await office.get(response.links["next"]["url"])
    assert [task["id"] for task in rest.json()["items"]] == ids[4:]
    assert "Link" not in (await office.get("/api/tasks", per_page=5)).headers


async def test_a_page_begins_after_a_task_of_the_organisation(office: Office, foreign: Office) -> None:
    unknown, task = "01a20180-8610-70de-aaa2-24ce46b82a84", (await foreign.file_task())["id"]
    for after, page in ((unknown, 1), (task, 1), ("7", 1), ((await office.file_task())["id"], 2)):
        response = await office.get("/api/tasks", after=after, page=page)
        assert response.status_code == 422
        assert [fault["loc"] for fault in response.json()["detail"]] == [["query", "after"]]


async def test_the_list_shows_tasks_as_they_are_one_by_one(office: Office) -> None:
    task = await office.file_task(**FULL_TASK)
    (listed,) = (await office.get("/api/tasks")).json()["items"]
    assert listed == task


async def test_the_list_of_nobody_is_empty(office: Office) -> None:
    page = (await office.get("/api/tasks")).json()
    assert page == {"items": [], "total": 0, "page": 1, "per_page": 20, "pages": 0}


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("task_type", "complaint", "order"),
        ("priority", "high", "low"),
        ("caller_phone", "+77011234567", "+77011234568"),
    ],
)
async def test_the_list_is_filtered_by_a_field(office: Office, field: str, one: str, other: str) -> None:
    wanted = await office.file_task(**{field: one})
    await office.file_task(**{field: other})
    assert await office.list_task_ids(**{field: one}) == [wanted["id"]]


async def test_a_filter_by_phone_reads_national_numbers_too(office: Office) -> None:
    task = await office.file_task(caller_phone="+77011234567")
    assert await office.list_task_ids(caller_phone="8 701 123-45-67") == [task["id"]]
    refused = await office.get("/api/tasks", caller_phone="abc")
    assert refused.json()["detail"][0]["loc"] == ["query", "caller_phone"]


async def test_the_list_is_filtered_by_whom_tasks_are_assigned_to(office: Office) -> None:
    task = await office.file_task()
    assert await office.list_task_ids(assigned_user_id=office.member_id) == [task["id"]]
    assert await office.list_task_ids(assigned_user_id="somebody-else") == []


async def test_cancelled_tasks_are_hidden_until_asked_for(office: Office) -> None:
    open_task, cancelled = await office.task_in_status(), await office.task_in_status("cancelled")
    assert await office.list_task_ids() == [open_task["id"]]
    assert await office.list_task_ids(include_cancelled="true") == [cancelled["id"], open_task["id"]]
    assert await office.list_task_ids(status="cancelled") == [cancelled["id"]]


async def test_search_finds_part_of_a_title_in_either_case(office: Office) -> None:
    task = await office.file_task(title="Перезвонить ПО ПОВОДУ счёта")
    await office.file_task(title="Something else")
    assert await office.list_task_ids(search="по поводу СЧЁТА") == [task["id"]]
    assert await office.list_task_ids(search="100%") == []


@pytest.mark.parametrize(
    ("title", "search"),
    [
        ("Чайник", "Чаи\u0306ник"),
        ("Чаи\u0306ник", "й"),
        ("ΟΔΟΣΑ", "ΟΔΟΣ"),
        ("Счёт", "счет"),
        ("Елка", "ё"),
        ("İzmir", "izm"),
    ],
)
async def test_search_finds_what_a_reader_takes_for_the_same(office: Office, title: str, search: str) -> None:
    task = await office.file_task(title=title)
    assert await office.list_task_ids(search=search) == [task["id"]]


async def test_a_list_shows_what_this_process_wrote_before(office: Office) -> None:
    for _ in range(20):
        task = await office.file_task()
        assert (await office.list_task_ids())[0] == task["id"]


async def test_a_list_waits_for_the_position_of_a_change(office: Office) -> None:
    changed = await office.post_task()
    response = await office.get(
        "/api/tasks", {**office.agent, "Perezvon-Position": changed.headers["Perezvon-Position"]}
    )
    assert int(response.headers["Perezvon-Position"]) >= int(changed.headers["Perezvon-Position"])
    assert response.json()["items"][0]["id"] == changed.json()["id"]


async def test_a_list_that_waited_in_vain_answers_with_what_there_is(office: Office) -> None:
    ahead = 2**53 - 1
    response = await office.get("/api/tasks", {**office.agent, "Perezvon-Position": str(ahead)})
    assert response.status_code == 200
    assert int(response.headers["Perezvon-Position"]) < ahead


class Many:
    """A list with more matches than the limit of exact counts."""

    async def page(self, _: int, __: TaskListFilter, *, page: int, after: str | None, per_page: int) -> TaskPage:
        return TaskPage(items=[], has_next=False, total=10_000, total_is_exact=False, position=2**60)


async def test_a_total_that_is_not_exact_is_told_to_be_the_least(service: Service, office: Office) -> None:
    async with served(replace(service.services, task_list=Many()), service.dsn) as found:
        response = await found.client.get("/api/tasks", params={"search": "а", "per_page": 30}, headers=office.agent)
    assert response.headers["Perezvon-Total"] == "at-least"
    assert (response.json()["total"], response.json()["pages"]) == (10_000, 334)
    assert "Perezvon-Total" not in (await office.get("/api/tasks")).headers


async def test_lists_hold_the_own_organisation_only(office: Office, foreign: Office) -> None:
    await foreign.file_task()
    assert await office.list_task_ids() == []


async def test_an_analyst_sees_no_personal_data(office: Office) -> None:
    await office.file_task(**FULL_TASK)
    (task,) = (await office.get("/api/tasks", office.bearers[Role.ANALYST])).json()["items"]
    masked = {key for key in task if task[key] == "***"}
    assert masked == {
        "title", "description", "caller_name", "recording_url", "call_transcription", "call_summary",
        "call_response_summary", "assigned_user_name", "call_id",
    }  # fmt: skip
    assert task["caller_phone"] == "***4567"
    assert task["error_message"] is None
    assert (task["priority"], task["assigned_user_id"]) == ("urgent", office.member_id)


@pytest.mark.parametrize("probe", [{"search": "а"}, {"caller_phone": "+77011234567"}])
async def test_an_analyst_cannot_probe_what_is_masked(office: Office, probe: dict[str, Any]) -> None:
    response = await office.get("/api/tasks", office.bearers[Role.ANALYST], **probe)
    assert (response.status_code, response.json()) == (
        403,
        {"detail": "The token's role does not have the permission for this request"},
    )
