"""A marker in every text and number of every resource: an analyst finds it on no route, an auditor on each."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from domain.permissions import Role
from interfaces.api.routes.administration import NewMemberBody, NewOperatorBody, NewTokenBody
from interfaces.api.routes.queue_bodies import NewCallbackBody, NewQueueBody
from interfaces.api.routes.task_bodies import AppealBody, NewTaskBody, TaskStatusBody
from tests.acceptance.test_roles_matrix import GUARDED, ROUTES, Made, a_delivery, ask
from tests.support.office import Office
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

MARKER, NUMBER, LINE = "marker", "+77015554567", "5550000"
URL = f"https://{MARKER}.example/"
TASK: dict[str, Any] = {
    **{name: f"{MARKER} {name}" for name in ("title", "description", "caller_name", "call_id", "call_transcription")},
    **{name: f"{MARKER} {name}" for name in ("call_summary", "call_response_summary")},
    "caller_phone": NUMBER,
    "recording_url": URL,
    "task_type": "order",
    "priority": "high",
    "call_datetime": "2026-01-01T00:00:00Z",
    "due_date": "2026-01-01T00:00:00Z",
}
STATUS: dict[str, Any] = {"status": "failed", "reason": f"{MARKER} reason", "error_message": f"{MARKER} error"}
QUEUE = {"name": f"{MARKER} name", "comment": f"{MARKER} comment", "status": "off", "concurrent_task_limit": 3}
CALLBACK: dict[str, Any] = {
    **dict.fromkeys(("url_before", "url_before_again", "url_success", "url_after"), URL),
    "name": f"{MARKER} callback",
    "a_number": LINE,
    "b_number": NUMBER,
    "extension_id": 7,
    "try_count": 2,
    "try_again_pause": 5,
    "start_time_utc": 60,
}
OPERATOR = {"name": f"{MARKER} operator", "number": LINE, "member_id": None}
TOKEN = {"name": f"{MARKER} token", "role": "agent", "member_id": None, "expires_at": None}
UNSET_HERE = {"operator_id", "interval_id"}


@pytest.mark.parametrize(
    ("body", "struct"),
    [
        (TASK, NewTaskBody),
        (STATUS, TaskStatusBody),
        ({"appeal_id": MARKER}, AppealBody),
        (QUEUE, NewQueueBody),
        (CALLBACK, NewCallbackBody),
        ({"name": MARKER, "role": "agent"}, NewMemberBody),
        (OPERATOR, NewOperatorBody),
        (TOKEN, NewTokenBody),
    ],
)
def test_no_field_is_left_out(body: Mapping[str, Any], struct: type[msgspec.Struct]) -> None:
    assert {field.encode_name for field in msgspec.structs.fields(struct)} - UNSET_HERE == set(body)


@pytest.fixture
async def marked(office: Office) -> Office:
    """Fill an office with marked resources."""

    async def post(path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        response = await office.client.post(path, json=body, headers=office.admin)
        assert response.is_success, response.text
        return response.json()

    member = await post("/v1/members", {"name": f"{MARKER} member", "role": "agent"})
    added = await post("/v1/operators", {**OPERATOR, "member_id": member["id"]})
    await post("/v1/tokens", TOKEN)
    office.operator_id = added["operator_id"]
    task = await office.file_task(**TASK)
    await post(f"/api/tasks/{task['id']}/appeal", {"appeal_id": f"{MARKER} appeal"})
    assert (await office.set_status(task["id"], **STATUS)).is_success
    queue = await office.create_queue(**QUEUE)
    await office.schedule_callbacks(queue, CALLBACK)
    assert (await office.set_status((await office.file_task(**TASK))["id"], **STATUS)).is_success
    return office


async def test_an_analyst_finds_no_text_and_no_number_on_any_route(marked: Office) -> None:
    shown = set[str]()
    for route in (route for route in GUARDED if route[0] == "GET"):
        made = await ROUTES[route].make(marked)
        response = await ask(marked, route, made, marked.bearers[Role.ANALYST])
        if response.is_success:
            shown.add(route[1])
            assert MARKER not in response.text, route
            assert NUMBER[:-4] not in response.text, route
            assert LINE not in response.text, route
    assert shown == {"/api/tasks", "/v1/queue-board"}


async def test_an_auditor_finds_what_an_analyst_does_not(marked: Office) -> None:
    auditor = marked.bearers[Role.AUDITOR]
    delivery: Made = await a_delivery(marked)
    for path in ("/v1/members", "/v1/operators", "/v1/tokens", "/v1/queue-board", "/api/tasks"):
        response = await marked.get(path, auditor)
        assert response.status_code == 200
        assert MARKER in response.text, path
    assert (await marked.get(f"/v1/webhook-deliveries/{delivery['delivery_id']}", auditor)).status_code == 200
    assert (await marked.get("/v1/organization", auditor)).json()["id"] == marked.organization_id
    assert (await marked.get("/v1/projections", auditor)).json()["items"]
    for secret in ("operator_id", "secret", "hash"):
        assert secret not in (await marked.get("/v1/tokens", auditor)).text


async def test_what_an_analyst_sees_of_a_task_is_listed(marked: Office) -> None:
    async def listed() -> list[dict[str, Any]]:
        return (await marked.get("/api/tasks", marked.bearers[Role.ANALYST])).json()["items"]

    task = (await eventually_async(listed))[-1]
    assert {name for name, value in task.items() if value not in {"***", None}} == {
        "id", "organization_id", "assigned_user_id", "task_type", "status", "priority", "caller_phone", "call_datetime",
        "created_at", "updated_at", "due_date", "version", "attempt",
    }  # fmt: skip
    assert task["caller_phone"] == "***4567"
    assert {name for name, value in task.items() if value is None} == {"created_by_user_id", "completed_at"}
