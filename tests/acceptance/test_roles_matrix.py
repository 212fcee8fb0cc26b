"""Every route × every role × own and foreign organisation. A new route without an entry here fails the test."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest
from litestar.routes import HTTPRoute

from domain.callback.events import AttemptStarted
from domain.permissions import Permission, Role
from interfaces.api.web.path_params import CLIENT_BASE_PATHS
from tests.support.office import NUMBERS, QUEUES, Headers, Office, Service
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

Made = dict[str, Any]
Maker = Callable[[Office], Awaitable[Made]]


async def nothing(_: Office) -> Made:
    return {}


async def a_task(office: Office) -> Made:
    return {"task_id": (await office.file_task())["id"]}


async def a_failed_task(office: Office) -> Made:
    return {"task_id": (await office.task_in_status("failed"))["id"]}


async def a_member(office: Office) -> Made:
    response = await office.client.post("/v1/members", json={"name": "Ерлан"}, headers=office.admin)
    return {"member_id": response.json()["id"]}


async def an_operator(office: Office) -> Made:
    response = await office.client.post("/v1/operators", json={"name": "Line"}, headers=office.admin)
    return {"operator_number": response.json()["id"]}


async def a_token(office: Office) -> Made:
    response = await office.client.post("/v1/tokens", json={"role": "agent"}, headers=office.admin)
    return {"token_id": response.json()["id"]}


async def a_client(office: Office) -> Made:
    return {"client_id": office.organization_id}


async def a_queue(office: Office) -> Made:
    return {"client_id": "@me", "scheduler_id": (await office.create_queue()).rpartition("/")[2]}


async def rules_of_a_queue(office: Office) -> Made:
    return {"queue_id": (await office.create_queue()).rpartition("/")[2]}


async def a_callback(office: Office) -> Made:
    made = await a_queue(office)
    (callback,) = await office.schedule_callbacks(f"{QUEUES}{made['scheduler_id']}")
    return {**made, "task_id": callback["id"]}


async def a_call(office: Office) -> Made:
    made, call_id = await a_callback(office), str(uuid4())
    await office.record_facts({"id": made["task_id"]}, AttemptStarted(attempt=1, call_id=call_id))
    return {**made, "call_uuid": call_id}


async def a_delivery(office: Office) -> Made:
    path = await office.create_queue()
    (callback,) = await office.schedule_callbacks(path, {"url_after": "https://example.com/after"})
    assert (await office.client.delete(f"{path}/task/{callback['id']}", headers=office.admin)).is_success

    async def listed() -> list[Made]:
        params = {"callback": callback["id"]}
        return (await office.get("/v1/webhook-deliveries", office.admin, **params)).json()["items"]

    return {"delivery_id": (await eventually_async(listed))[0]["id"]}


class Access(NamedTuple):
    """The permission of a route, the maker of the objects in its path, and a valid body."""

    permission: Permission | None
    make: Maker = nothing
    body: dict[str, Any] | None = None


_APPEAL = {"appeal_id": "A-1"}
_CHANGE = Access(Permission.CHANGE_TASKS, a_task, _APPEAL)
_PUBLIC = Access(None)
_ADMIN, _OFFICE = Permission.ADMINISTER, Permission.READ_ORGANIZATION
_READ, _CHANGE_QUEUE = Permission.READ_QUEUES, Permission.CHANGE_QUEUES
OF_QUEUES = {
    ("POST", ""): Access(_CHANGE_QUEUE, a_client, {"name": "q"}),
    ("GET", ""): Access(_READ, a_client),
    ("GET", "/{scheduler_id}"): Access(_READ, a_queue),
    ("PUT", "/{scheduler_id}"): Access(_CHANGE_QUEUE, a_queue, {"status": "on"}),
    ("DELETE", "/{scheduler_id}"): Access(_CHANGE_QUEUE, a_queue),
    ("POST", "/{scheduler_id}/task"): Access(_CHANGE_QUEUE, a_queue, {"tasks": [NUMBERS]}),
    ("GET", "/{scheduler_id}/task"): Access(_READ, a_queue),
    ("GET", "/{scheduler_id}/task/{task_id}"): Access(_READ, a_callback),
    ("DELETE", "/{scheduler_id}/task/{task_id}"): Access(_CHANGE_QUEUE, a_callback),
    ("GET", "/{scheduler_id}/task/{task_id}/history"): Access(_READ, a_callback),
}
ROUTES = {
    ("POST", "/api/tasks"): Access(Permission.FILE_TASKS, nothing, {"title": "x"}),
    ("GET", "/api/tasks"): Access(Permission.LIST_TASKS),
    ("GET", "/api/tasks/{task_id}"): Access(Permission.READ_PERSONAL, a_task),
    ("GET", "/api/tasks/{task_id}/history"): Access(Permission.READ_PERSONAL, a_task),
    ("PUT", "/api/tasks/{task_id}/status"): Access(Permission.CHANGE_TASKS, a_task, {"status": "completed"}),
    ("PUT", "/api/tasks/{task_id}/appeal"): _CHANGE,
    ("POST", "/api/tasks/{task_id}/appeal"): _CHANGE,
    ("PUT", "/api/tasks/{task_id}/link-appeal"): _CHANGE,
    ("POST", "/api/tasks/{task_id}/link-appeal"): _CHANGE,
    ("POST", "/api/tasks/{task_id}/reprocess"): Access(Permission.CHANGE_TASKS, a_failed_task),
    **{
        (method, f"{base}/{{client_id}}/task_scheduler{path}"): access
        for base in CLIENT_BASE_PATHS
        for (method, path), access in OF_QUEUES.items()
    },
    **{
        ("GET", f"{base}/{{client_id}}/call_history/{{call_uuid}}"): Access(_READ, a_call) for base in CLIENT_BASE_PATHS
    },
    ("GET", "/v1/organization"): Access(_OFFICE),
    ("PATCH", "/v1/organization/settings"): Access(_ADMIN, nothing, {"region": "KZ"}),
    ("GET", "/v1/members"): Access(_OFFICE),
    ("POST", "/v1/members"): Access(_ADMIN, nothing, {"name": "Нурлан"}),
    ("PATCH", "/v1/members/{member_id}"): Access(_ADMIN, a_member, {"role": "auditor"}),
    ("DELETE", "/v1/members/{member_id}"): Access(_ADMIN, a_member),
    ("GET", "/v1/operators"): Access(_OFFICE),
    ("POST", "/v1/operators"): Access(_ADMIN, nothing, {"name": "Line 2"}),
    ("POST", "/v1/operators/{operator_number}/renew"): Access(_ADMIN, an_operator),
    ("DELETE", "/v1/operators/{operator_number}"): Access(_ADMIN, an_operator),
    ("GET", "/v1/tokens"): Access(_OFFICE),
    ("POST", "/v1/tokens"): Access(_ADMIN, nothing, {"role": "agent"}),
    ("DELETE", "/v1/tokens/{token_id}"): Access(_ADMIN, a_token),
    ("GET", "/v1/queue-board"): Access(Permission.READ_BOARD),
    ("GET", "/v1/queues/{queue_id}/rules"): Access(_READ, rules_of_a_queue),
    ("PUT", "/v1/queues/{queue_id}/rules"): Access(
        _CHANGE_QUEUE, rules_of_a_queue, {"retry_policy": None, "client_leg": "b"}
    ),
    ("GET", "/v1/projections"): Access(_OFFICE),
    ("GET", "/v1/audit-trail"): Access(Permission.AUDIT),
    ("GET", "/v1/webhook-deliveries"): Access(Permission.READ_WEBHOOKS),
    ("GET", "/v1/webhook-deliveries/{delivery_id}"): Access(Permission.READ_WEBHOOKS, a_delivery),
    ("GET", "/v1/webhook-deliveries/{delivery_id}/attempts"): Access(Permission.READ_WEBHOOKS, a_delivery),
    ("POST", "/v1/webhook-deliveries/{delivery_id}/resend"): Access(Permission.CHANGE_QUEUES, a_delivery),
    ("GET", "/v1/webhook-secret"): Access(_ADMIN),
    ("POST", "/v1/webhook-secret/rotate"): Access(_ADMIN, nothing, {"overlap_s": 60}),
    ("GET", "/health/live"): _PUBLIC,
    ("GET", "/health/ready"): _PUBLIC,
    ("GET", "/openapi.json"): _PUBLIC,
    ("GET", "/docs"): _PUBLIC,
    ("GET", "/docs/static/{name}"): _PUBLIC,
}
ROLES = {
    Role.ADMIN: set(Permission),
    Role.SUPERVISOR: {
        Permission.FILE_TASKS, Permission.LIST_TASKS, Permission.READ_PERSONAL, Permission.CHANGE_TASKS,
        Permission.READ_QUEUES, Permission.READ_BOARD, Permission.CHANGE_QUEUES, Permission.READ_WEBHOOKS,
    },
    Role.AGENT: {
        Permission.FILE_TASKS, Permission.LIST_TASKS, Permission.READ_PERSONAL, Permission.CHANGE_TASKS,
        Permission.READ_QUEUES, Permission.READ_BOARD,
    },
    Role.OPERATOR: {Permission.FILE_TASKS},
    Role.AUDITOR: {
        Permission.LIST_TASKS, Permission.READ_PERSONAL, Permission.AUDIT, Permission.READ_QUEUES,
        Permission.READ_BOARD, Permission.READ_WEBHOOKS, Permission.READ_ORGANIZATION,
    },
    Role.ANALYST: {Permission.LIST_TASKS, Permission.READ_BOARD},
}  # fmt: skip
GUARDED = [route for route, access in ROUTES.items() if access.permission]
OF_ONE = [route for route in GUARDED if "{" in route[1]]


async def ask(office: Office, route: tuple[str, str], made: Made, headers: Headers) -> httpx.Response:
    method, path = route
    body = ROUTES[route].body
    if path == "/api/tasks" and body:
        body = {"operator_id": office.operator_id, **body}
    return await office.client.request(method, path.format(**made), json=body, headers=headers)


def routes_of(service: Service) -> set[tuple[str, str]]:
    return {
        (method, route.path_format)
        for route in service.app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods - {"OPTIONS"}
    }


def test_an_auditor_reads_everything_but_secrets_and_changes_nothing() -> None:
    reading = {route for route in GUARDED if route[0] == "GET"} - {("GET", "/v1/webhook-secret")}
    assert {route for route in GUARDED if ROUTES[route].permission in ROLES[Role.AUDITOR]} == reading


async def test_every_route_is_in_the_matrix_and_nothing_else(service: Service) -> None:
    assert routes_of(service) == set(ROUTES)


@pytest.mark.parametrize("route", GUARDED, ids=" ".join)
@pytest.mark.parametrize("role", Role)
async def test_a_role_may_what_it_may_and_nothing_else(office: Office, route: tuple[str, str], role: Role) -> None:
    made = await ROUTES[route].make(office)
    response = await ask(office, route, made, office.bearers[role])
    if ROUTES[route].permission in ROLES[role]:
        assert response.is_success, response.text
    else:
        assert response.status_code == 403, response.text


@pytest.mark.parametrize("route", GUARDED, ids=" ".join)
async def test_without_a_token_nothing_but_the_open_intake_is_served(office: Office, route: tuple[str, str]) -> None:
    made = await ROUTES[route].make(office)
    response = await ask(office, route, made, {})
    assert response.status_code == (200 if route == ("POST", "/api/tasks") else 401)


@pytest.mark.parametrize("route", OF_ONE, ids=" ".join)
@pytest.mark.parametrize("role", Role)
async def test_what_is_another_organisations_is_not_found_and_stays_as_it_is(
    office: Office, foreign: Office, route: tuple[str, str], role: Role
) -> None:
    # Operator numbers start at 1 in each organisation: only a number that the caller's own lacks shows the difference.
    made = {**await ROUTES[route].make(foreign)}
    before = await state_of(foreign, made)
    response = await ask(office, route, made, office.bearers[role])
    assert response.status_code == (404 if ROUTES[route].permission in ROLES[role] else 403), response.text
    assert await state_of(foreign, made) == before


async def state_of(office: Office, made: Made) -> Any:
    if "client_id" in made:
        queues = (await office.get(QUEUES)).json()
        return queues, [(await office.get(f"{QUEUES}{queue['id']}/task")).json() for queue in queues]
    if "queue_id" in made:
        return (await office.get(f"/v1/queues/{made['queue_id']}/rules")).json()
    if "task_id" in made:
        return (await office.get(f"/api/tasks/{made['task_id']}")).json()
    if "delivery_id" in made:
        return (await office.get(f"/v1/webhook-deliveries/{made['delivery_id']}", office.admin)).json()
    path = {"token_id": "/v1/tokens", "member_id": "/v1/members"}.get(next(iter(made), ""), "/v1/operators")
    return [{**row, "last_used_at": None} for row in (await office.get(path, office.admin)).json()["items"]]


@pytest.mark.parametrize("path", ["/v1/members", "/v1/operators", "/v1/tokens", "/v1/organization", "/v1/audit-trail"])
async def test_lists_hold_nothing_of_another_organisation(office: Office, foreign: Office, path: str) -> None:
    responses = await foreign.get(path, foreign.admin), await office.get(path, office.admin)
    assert [response.status_code for response in responses] == [200, 200]
    theirs, ours = (response.json().get("items", [response.json()]) for response in responses)
    assert not [row for row in theirs if row in ours]


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in GUARDED], ids=" ".join)
async def test_public_routes_ask_for_no_token_and_mind_none(office: Office, route: tuple[str, str]) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        response = await ask(office, route, {"name": "docs.js"}, headers)
        assert response.status_code == 200
