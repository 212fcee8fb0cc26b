"""Tasks over HTTP (docs/contracts/tasks.md)."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.permissions import Role
from domain.streams import task_stream
from tests.support.office import FULL_TASK, Office

pytestmark = pytest.mark.anyio

KEYS = {
    "id", "organization_id", "assigned_user_id", "created_by_user_id", "task_type", "status", "priority", "title",
    "description", "caller_phone", "caller_name", "call_id", "recording_url", "call_datetime", "call_transcription",
    "call_summary", "call_response_summary", "error_message", "created_at", "updated_at", "due_date", "completed_at",
    "appeal_id", "assigned_user_name",
}  # fmt: skip
STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
PATHS_TO = {
    "pending": (),
    "in_progress": ("in_progress",),
    "completed": ("completed",),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
}
LEGAL = {
    "pending": {"in_progress", "completed", "failed", "cancelled"},
    "in_progress": {"pending", "completed", "failed", "cancelled"},
}


async def test_a_task_filed_with_the_least_has_every_key_and_the_defaults(office: Office) -> None:
    task = await office.file_task(title="  Call back  ")
    assert task.keys() == KEYS | {"version", "attempt"}
    assert {key for key in task if task[key] is None} == KEYS - {
        "id", "organization_id", "assigned_user_id", "task_type", "status", "priority", "title", "created_at",
        "updated_at", "assigned_user_name",
    }  # fmt: skip
    assert (task["task_type"], task["status"], task["priority"]) == ("other", "pending", "normal")
    assert task["title"] == "Call back"
    assert task["organization_id"] == str(office.organization_id)
    assert (task["version"], task["attempt"]) == (1, 1)


async def test_a_task_keeps_all_that_was_filed_with_phone_in_e164_and_times_in_utc(office: Office) -> None:
    task = await office.file_task(**FULL_TASK, surprise="ignored")
    shown = {**FULL_TASK, "caller_phone": "+77011234567", "call_datetime": "2026-11-22T09:30:00Z"}
    assert {key: task[key] for key in FULL_TASK} == {**shown, "due_date": "2026-12-01T09:00:00Z"}
    assert (await office.get(f"/api/tasks/{task['id']}")).json() == task


async def test_a_task_belongs_to_the_operators_member(office: Office) -> None:
    task = await office.file_task()
    assert (task["assigned_user_id"], task["assigned_user_name"]) == (office.member_id, "Айгуль Сатпаева")


async def test_who_files_with_a_token_is_on_record_as_the_creator(office: Office) -> None:
    by_agent = await office.post_task(office.agent)
    assert by_agent.json()["created_by_user_id"] == office.member_id
    by_service = await office.post_task(office.bearers[Role.OPERATOR])
    assert by_service.json()["created_by_user_id"] is None


async def test_an_operator_of_another_organisation_is_as_good_as_unknown(office: Office, foreign: Office) -> None:
    response = await office.post_task(office.agent, operator_id=foreign.operator_id)
    unknown = await office.post_task(operator_id="op_unknown")
    assert response.status_code == unknown.status_code == 422
    assert response.json() == unknown.json()
    assert response.json()["detail"][0]["loc"] == ["body", "operator_id"]


async def test_closed_intake_asks_for_a_token(office: Office) -> None:
    await office.change_settings(open_intake=False)
    refused = await office.post_task()
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert (await office.post_task(office.bearers[Role.OPERATOR])).status_code == 200


async def test_a_bad_token_is_refused_even_where_none_is_needed(office: Office) -> None:
    assert (await office.post_task({"Authorization": "Bearer pz_0_0"})).status_code == 401


@pytest.mark.parametrize("wanted", STATUSES)
@pytest.mark.parametrize("current", STATUSES)
async def test_only_the_listed_transitions_happen(office: Office, current: str, wanted: str) -> None:
    task = await office.task_in_status(*PATHS_TO[current])
    response = await office.set_status(task["id"], wanted)
    if current == wanted:
        assert response.json() == task
    elif wanted in LEGAL.get(current, set()):
        assert response.json()["status"] == wanted
        assert response.json()["version"] == task["version"] + 1
    else:
        assert response.status_code == 409
        assert current in response.json()["detail"]
        assert wanted in response.json()["detail"]
        assert (await office.get(f"/api/tasks/{task['id']}")).json() == task


async def test_completion_has_its_time_and_failure_its_message(office: Office) -> None:
    completed = await office.task_in_status("completed")
    assert completed["completed_at"] == completed["updated_at"]
    task = await office.file_task()
    failed = (await office.set_status(task["id"], "failed", error_message="No answer")).json()
    assert (failed["error_message"], failed["completed_at"]) == ("No answer", None)


async def test_an_error_message_goes_with_failed_only(office: Office) -> None:
    task = await office.file_task()
    response = await office.set_status(task["id"], "completed", error_message="?")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", "error_message"]


async def test_reprocess_puts_a_failed_task_back_and_counts_the_attempt(office: Office) -> None:
    task = await office.task_in_status("failed")
    response = await office.client.post(f"/api/tasks/{task['id']}/reprocess", headers=office.agent)
    again = response.json()
    assert (again["status"], again["error_message"], again["attempt"]) == ("pending", None, 2)
    refused = await office.client.post(f"/api/tasks/{task['id']}/reprocess", headers=office.agent)
    assert refused.status_code == 409


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("name", ["appeal", "link-appeal"])
async def test_an_appeal_is_linked_however_it_is_spelt(office: Office, method: str, name: str) -> None:
    task = await office.task_in_status("cancelled")
    for appeal_id in ("A-1", "A-2", "A-2"):
        response = await office.client.request(
            method, f"/api/tasks/{task['id']}/{name}", json={"appeal_id": appeal_id}, headers=office.agent
        )
        assert response.json()["appeal_id"] == appeal_id
    assert response.json()["version"] == task["version"] + 2


async def test_history_tells_who_did_what_when_and_why(office: Office) -> None:
    task = await office.file_task(description="Долго ждал")
    await office.set_status(
        task["id"], "in_progress", {"X-Request-Id": "0A1B2C3D-4e5f-4071-8293-a4b5c6d7e8f9"}, reason="My turn"
    )
    items = (await office.get(f"/api/tasks/{task['id']}/history")).json()["items"]
    filed, started = items
    assert filed.keys() == {"version", "position", "type", "recorded_at", "actor", "reason", "data"}
    assert (filed["version"], filed["type"]) == (1, "task.filed.v1")
    assert filed["actor"] == f"operator/{office.operator_number}"
    assert filed["data"]["personal"]["description"] == "Долго ждал"
    assert "type" not in filed["data"]
    assert started["actor"] == f"member/{office.member_id}"
    assert (started["reason"], started["data"]) == ("My turn", {})
    assert started["position"] > filed["position"]
    events = await office.services.log.read(task_stream(task["id"]))
    assert (events[1].causation, events[1].correlation) == ("0a1b2c3d4e5f40718293a4b5c6d7e8f9",) * 2


async def test_a_task_can_be_seen_as_it_was_at_a_version(office: Office) -> None:
    task = await office.task_in_status("in_progress", "failed")
    path = f"/api/tasks/{task['id']}"
    seen = [(await office.get(path, version=version)).json()["status"] for version in (1, 2, 3)]
    assert seen == ["pending", "in_progress", "failed"]
    assert [(await office.get(path, version=version)).status_code for version in (0, 4, -1)] == [404, 404, 404]


async def test_a_task_can_be_seen_as_it_was_at_a_time(office: Office) -> None:
    task = await office.task_in_status("in_progress")
    path, filed_at = f"/api/tasks/{task['id']}", task["created_at"]
    before = datetime.fromisoformat(filed_at) - timedelta(microseconds=1)
    assert (await office.get(path, as_of=filed_at)).json()["status"] == "pending"
    assert (await office.get(path, as_of=task["updated_at"])).json() == task
    assert (await office.get(path, as_of=before.isoformat())).status_code == 404
    naive = datetime.fromisoformat(filed_at).astimezone(UTC).replace(tzinfo=None).isoformat()
    assert (await office.get(path, as_of=naive)).json()["version"] == 1


async def test_version_and_time_at_once_are_refused(office: Office) -> None:
    task = await office.file_task()
    response = await office.get(f"/api/tasks/{task['id']}", version=1, as_of="2026-01-01T00:00:00Z")
    assert [fault["loc"] for fault in response.json()["detail"]] == [["query", "version"], ["query", "as_of"]]


@pytest.mark.parametrize("task_id", ["nothing", "01a20180-8610-70de-aaa2-24ce46b82a84", "%00", "%FF"])
async def test_what_is_no_known_task_is_not_found(office: Office, task_id: str) -> None:
    for path in ("", "/history"):
        response = await office.get(f"/api/tasks/{task_id}{path}")
        assert (response.status_code, response.json()) == (404, {"detail": "Not found"})


async def test_head_is_get_without_the_body(office: Office) -> None:
    await office.file_task()
    got = await office.get("/api/tasks")
    head = await office.client.head("/api/tasks", headers=office.agent)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/tasks", "GET, HEAD, OPTIONS, POST"),
        ("/api/tasks/x", "GET, HEAD, OPTIONS"),
        ("/api/tasks/x/appeal", "OPTIONS, POST, PUT"),
        ("/v1/operators/1", "DELETE, OPTIONS"),
    ],
)
async def test_options_and_405_name_every_method_of_the_path(office: Office, path: str, allowed: str) -> None:
    options = await office.client.options(path)
    refused = await office.client.patch(path)
    assert (options.status_code, refused.status_code) == (204, 405)
    assert options.headers["Allow"] == refused.headers["Allow"] == allowed
    assert refused.json()["detail"] == "Method Not Allowed"


async def test_an_unknown_path_is_told_in_the_dialect_of_its_part_of_the_api(office: Office) -> None:
    of_tasks = await office.client.get("/api/tasks/x/y/z")
    other = await office.client.get("/api/tasksandmore")
    assert of_tasks.json() == {"detail": "Not Found"}
    assert other.headers["Content-Type"] == "application/problem+json"
    assert other.json()["status"] == of_tasks.status_code == other.status_code == 404


async def test_every_answer_has_a_request_id_and_security_headers(office: Office) -> None:
    for path in ("/api/tasks", "/nothing", "/health/live"):
        given = await office.client.get(path, headers={"X-Request-Id": "from-the-proxy.1"})
        assert given.headers["X-Request-Id"] == "from-the-proxy.1"
        assert given.headers["X-Content-Type-Options"] == "nosniff"
        assert len(given.headers["Perezvon-Correlation"]) == 32
    made_up = await office.client.get("/nothing", headers={"X-Request-Id": "not an id"})
    assert len(made_up.headers["X-Request-Id"]) == 32
    assert "Perezvon-Correlation" not in made_up.headers


async def test_a_request_id_that_is_no_uuid_is_returned_and_another_one_is_recorded(office: Office) -> None:
    response = await office.post_task({"X-Request-Id": "17"})
    assert response.headers["X-Request-Id"] == "17"
    (filed,) = await office.services.log.read(task_stream(response.json()["id"]))
    assert filed.causation == filed.correlation == response.headers["Perezvon-Correlation"]
