"""``/v1``: administration over HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import httpx
import pytest

from domain.permissions import Role
from infrastructure.operations.subscribers import HANDLERS
from interfaces.api.web import authentication
from tests.support.office import QUEUES, Office, Service, served
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio


async def post(office: Office, path: str, body: Any = None) -> httpx.Response:
    return await office.client.post(path, json=body, headers=office.admin)


async def items(office: Office, path: str) -> list[dict[str, Any]]:
    return (await office.get(path, office.admin)).json()["items"]


async def test_an_admin_sees_and_changes_the_organisations_settings(office: Office) -> None:
    before = (await office.get("/v1/organization", office.admin)).json()
    assert (before["id"], before["name"]) == (office.organization_id, "Городская справка")
    response = await office.client.patch(
        "/v1/organization/settings", json={"timezone": "Asia/Almaty", "callback_queue": 65}, headers=office.admin
    )
    assert response.json() == {**before["settings"], "timezone": "Asia/Almaty", "callback_queue": 65}
    cleared = await office.client.patch(
        "/v1/organization/settings", json={"callback_queue": None}, headers=office.admin
    )
    assert cleared.json()["callback_queue"] is None
    assert (await office.get("/v1/organization", office.admin)).json()["settings"] == cleared.json()


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"region": "XX"}, "/region"),
        ({"region": None}, "/region"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"callback_tries": 0}, "/callback_tries"),
        ({"callback_tries": 51}, "/callback_tries"),
        ({"callback_pause": -1}, "/callback_pause"),
        ({"callback_queue": 2**53}, "/callback_queue"),
        ({"caller_id": "nobody"}, "/caller_id"),
        ({"caller_id": ""}, "/caller_id"),
        ({"retry_policy": {"jitter_percent": 21}}, "/retry_policy/jitter_percent"),
        ({"retry_policy": {"outcomes": {"lost": {"retry": False}}}}, "/retry_policy/outcomes/lost"),
        ({"retry_policy": {"outcomes": {"busy": {"pause": -1}}}}, "/retry_policy/outcomes/busy/pause"),
        ({"open_intake": "yes"}, "/open_intake"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ([], ""),
    ],
)
async def test_a_setting_that_cannot_be_is_pointed_at(office: Office, settings: Any, pointer: str) -> None:
    response = await office.client.patch("/v1/organization/settings", json=settings, headers=office.admin)
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert {key: problem[key] for key in ("type", "title", "status", "instance", "request_id")} == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "instance": "/v1/organization/settings",
        "request_id": response.headers["X-Request-Id"],
    }


async def test_a_caller_id_is_read_in_the_region_and_it_and_a_retry_policy_are_taken_back(office: Office) -> None:
    for number in ("1001", "+77011234567", "+442079460018"):
        await office.change_settings(caller_id=number)

    async def settings(**given: Any) -> tuple[Any, Any]:
        response = await office.client.patch("/v1/organization/settings", json=given, headers=office.admin)
        assert response.status_code == 200, response.text
        return response.json()["caller_id"], response.json()["retry_policy"]

    policy = {"outcomes": {"busy": {"retry": True, "pause": 180}}, "jitter_percent": 0, "free_congestions": 0}
    given = {"outcomes": {"busy": {"pause": 180}}}
    assert await settings(caller_id="8 701 123 45 67", retry_policy=given) == ("+77011234567", policy)
    assert await settings(region="GB", caller_id="020 7946 0018") == ("+442079460018", policy)
    assert await settings(timezone="UTC") == ("+442079460018", policy)
    assert await settings(caller_id="1001", retry_policy=None) == ("1001", None)
    assert await settings(caller_id=None) == (None, None)


async def test_a_token_chooses_among_the_caller_ids_that_the_command_line_has_set(office: Office) -> None:
    async def choose(number: str) -> Any:
        return await office.client.patch("/v1/organization/settings", json={"caller_id": number}, headers=office.admin)

    refused = await choose("+77011234567")
    assert refused.status_code == 422
    assert [(error["pointer"], error["code"]) for error in refused.json()["errors"]] == [
        ("/caller_id", "unknown_caller_id")
    ]
    await office.change_settings(caller_id="+77011234567")
    await office.change_settings(caller_id="1001")
    chosen = await choose("8 701 123 45 67")
    assert chosen.status_code == 200
    assert chosen.json()["caller_ids"] == ["+77011234567", "1001"]
    await office.change_settings(removed_caller_id="+77011234567")
    shown = (await office.client.get("/v1/organization", headers=office.admin)).json()["settings"]
    assert (shown["caller_id"], shown["caller_ids"]) == (None, ["1001"])
    assert (await choose("+77011234567")).status_code == 422


@pytest.mark.parametrize(
    "settings",
    [
        {"dial_regions": ["KZ", "US"]},
        {"dial_types": ["premium_rate"]},
        {"extensions": "100-199"},
        {"only_extensions": False},
        {"home_region": "US"},
        {"caller_ids": ["+77011234567"]},
    ],
)
async def test_a_token_does_not_set_which_numbers_are_called(office: Office, settings: Any) -> None:
    refused = await office.client.patch("/v1/organization/settings", json=settings, headers=office.admin)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "extra_forbidden")


async def test_a_token_changes_how_numbers_are_read_and_not_which_are_called(office: Office) -> None:
    queue = await office.create_queue()
    changed = await office.client.patch("/v1/organization/settings", json={"region": "US"}, headers=office.admin)
    assert (changed.json()["region"], changed.json()["home_region"]) == ("US", "KZ")
    refused = await office.post_callbacks(queue, {"b_number": "(212) 555-1234"})
    assert (refused.status_code, "region_not_allowed" in refused.text) == (422, True)
    await office.schedule_callbacks(queue, {"b_number": "+77011234567"})
    await office.change_settings(region="US")  # as the command line does
    await office.schedule_callbacks(queue, {"b_number": "(212) 555-1234"})


async def test_a_member_is_added(office: Office) -> None:
    response = await post(office, "/v1/members", {"name": "  Нурлан ", "role": "auditor"})
    assert response.status_code == 201
    assert {**response.json(), "id": ""} == {"id": "", "name": "Нурлан", "role": "auditor"}
    assert response.json() in await items(office, "/v1/members")


async def test_what_is_created_names_its_shard_and_another_shard_has_nothing(office: Office) -> None:
    shard = office.organization_id % 64
    assert shard == 1
    queue = (await office.create_queue()).rpartition("/")[2]
    (callback,) = await office.schedule_callbacks(f"{QUEUES}{queue}")
    issued = (await post(office, "/v1/tokens", {"role": "agent"})).json()
    operator = (await post(office, "/v1/operators", {"name": "Line"})).json()
    numbers = [int(queue), callback["id"], int(issued["id"], 16)]
    assert {number % 64 for number in numbers} == {shard}
    assert operator["operator_id"].startswith("op_AB")
    assert (await office.get(f"{QUEUES}{int(queue) + 1}", office.admin)).status_code == 404
    assert (await office.get(f"{QUEUES}{queue}/task/{callback['id'] + 1}", office.admin)).status_code == 404
    elsewhere = issued["token"].replace(issued["id"], f"{int(issued['id'], 16) + 1:012x}")
    assert (await office.get("/api/tasks", {"Authorization": f"Bearer {elsewhere}"})).status_code == 401


async def test_a_removed_member_loses_tokens_and_operators_at_once(office: Office) -> None:
    assert (await office.get("/api/tasks")).status_code == 200
    response = await office.client.delete(f"/v1/members/{office.member_id}", headers=office.admin)
    assert (response.status_code, response.content) == (204, b"")
    assert (await office.get("/api/tasks")).status_code == 401
    assert (await office.post_task()).json() == (await office.post_task(operator_id="op_unknown")).json()
    assert await items(office, "/v1/members") == []
    assert await items(office, "/v1/operators") == []
    again = await office.client.delete(f"/v1/members/{office.member_id}", headers=office.admin)
    assert again.status_code == 404


async def test_a_members_role_limits_tokens_that_were_issued_before(office: Office) -> None:
    async def change(role: str) -> int:
        path = f"/v1/members/{office.member_id}"
        return (await office.client.patch(path, json={"role": role}, headers=office.admin)).status_code

    task = await office.file_task()
    assert await change("auditor") == 204
    assert (await office.get(f"/api/tasks/{task['id']}")).status_code == 200
    assert (await office.set_status(task["id"], "in_progress")).status_code == 403
    # The token permits what both roles permit: an agent may not read the audit trail, although its member may.
    assert (await office.get("/v1/audit-trail")).status_code == 403
    assert await change("supervisor") == 204
    assert (await office.set_status(task["id"], "in_progress")).status_code == 200
    assert (await items(office, "/v1/members"))[0]["role"] == "supervisor"


async def test_an_operators_key_is_shown_once_files_tasks_and_ends(office: Office) -> None:
    body = {"name": "Line 2", "number": "8 701 123 45 67", "member_id": office.member_id}
    added = (await post(office, "/v1/operators", body)).json()
    row = {"id": added["id"], "name": "Line 2", "number": "+77011234567", "member_id": office.member_id}
    assert row in await items(office, "/v1/operators")
    assert (await office.file_task(operator_id=added["operator_id"]))["assigned_user_id"] == office.member_id
    renewed = (await post(office, f"/v1/operators/{added['id']}/renew")).json()
    assert renewed["id"] == added["id"]
    assert (await office.post_task(operator_id=added["operator_id"])).status_code == 422
    assert (await office.post_task(operator_id=renewed["operator_id"])).status_code == 200
    path = f"/v1/operators/{added['id']}"
    removed = await office.client.delete(path, headers=office.admin)
    assert (removed.status_code, removed.content) == (204, b"")
    assert (await office.post_task(operator_id=renewed["operator_id"])).status_code == 422
    again = await office.client.delete(path, headers=office.admin)
    assert (again.status_code, again.json()["code"]) == (404, "not_found")
    assert (await post(office, f"{path}/renew")).status_code == 404


async def test_a_token_is_shown_once_works_at_once_and_ends_at_once(office: Office) -> None:
    issued = (await post(office, "/v1/tokens", {"role": "agent", "name": "CRM"})).json()
    bearer = {"Authorization": f"Bearer {issued['token']}"}
    assert (await office.get("/api/tasks", bearer)).status_code == 200
    (row,) = [row for row in await items(office, "/v1/tokens") if row["id"] == issued["id"]]
    assert (row["name"], row["role"], row["revoked_at"]) == ("CRM", "agent", None)
    assert issued["token"].rpartition("_")[2] not in str(row)
    path = f"/v1/tokens/{issued['id']}"
    assert (await office.client.delete(path, headers=office.admin)).status_code == 204
    assert (await office.get("/api/tasks", bearer)).status_code == 401
    assert (await office.client.delete(path, headers=office.admin)).status_code == 404


class Tomorrow:
    """The clock of a day later."""

    @staticmethod
    def now(zone: tzinfo) -> datetime:
        return datetime.now(zone) + timedelta(days=1)


async def test_a_token_ends_when_it_expires(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    tokens = [
        (await post(office, "/v1/tokens", {"role": "agent", "expires_at": at.isoformat()})).json()["token"]
        for at in (now + timedelta(hours=1), now + timedelta(days=2))
    ]

    async def statuses() -> list[int]:
        return [(await office.get("/api/tasks", {"Authorization": f"Bearer {token}"})).status_code for token in tokens]

    assert await statuses() == [200, 200]
    monkeypatch.setattr(authentication, "datetime", Tomorrow)
    assert await statuses() == [401, 200]


async def test_a_token_that_would_never_be_valid_is_refused(office: Office) -> None:
    before = len(await items(office, "/v1/tokens"))
    response = await post(office, "/v1/tokens", {"role": "agent", "expires_at": "2020-01-01T00:00:00Z"})
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/expires_at")
    assert len(await items(office, "/v1/tokens")) == before


async def last_use(office: Office, role: Role) -> str | None:
    token_id = office.bearers[role]["Authorization"].split("_")[1]
    (row,) = [row for row in await items(office, "/v1/tokens") if row["id"] == token_id]
    return row["last_used_at"]


async def test_a_tokens_last_use_is_noted_at_the_latest_when_the_process_ends(service: Service, office: Office) -> None:
    async with served(service.services, service.dsn) as passing:
        assert (await passing.client.get("/api/tasks", headers=office.agent)).status_code == 200
    assert await last_use(office, Role.AGENT) is not None
    assert await last_use(office, Role.ANALYST) is None


async def test_a_tokens_last_use_is_noted_now_and_then(
    service: Service, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.api.app._RECORD_SECONDS", 0.01)
    async with served(service.services, service.dsn) as passing:
        await passing.client.get("/api/tasks", headers=office.agent)
        await eventually_async(lambda: last_use(office, Role.AGENT))


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("members", {}, "/name"),
        ("members", {"name": " "}, "/name"),
        ("members", {"name": "x", "role": "boss"}, "/role"),
        ("members", {"name": "x\0"}, "/name"),
        ("operators", {"name": "x", "number": "1"}, "/number"),
        ("operators", {"name": "x", "number": ""}, "/number"),
        ("operators", {"name": "x", "member_id": "nobody"}, "/member_id"),
        ("operators", {"name": "x", "surprise": 1}, "/surprise"),
        ("tokens", {}, "/role"),
        ("tokens", {"role": "agent", "member_id": "nobody"}, "/member_id"),
        ("tokens", {"role": "agent", "expires_at": "9999-12-31T23:59:59Z"}, "/expires_at"),
    ],
)
async def test_what_cannot_be_added_is_pointed_at(office: Office, path: str, body: Any, pointer: str) -> None:
    response = await post(office, f"/v1/{path}", body)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


async def test_a_members_token_may_do_no_more_than_the_member(office: Office) -> None:
    response = await post(office, "/v1/tokens", {"role": "admin", "member_id": office.member_id})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/role"


@pytest.mark.parametrize("path", ["members", "operators", "operators/1/renew", "tokens"])
async def test_an_idempotency_key_is_refused_rather_than_ignored(office: Office, path: str) -> None:
    before = await items(office, "/v1/operators")
    response = await office.client.post(
        f"/v1/{path}", json={"name": "x", "role": "agent"}, headers={**office.admin, "Idempotency-Key": "k"}
    )
    assert (response.status_code, response.json()["errors"][0]["header"]) == (422, "Idempotency-Key")
    assert await items(office, "/v1/operators") == before


@pytest.mark.parametrize("number", ["0", "-1", "x", "%00", "99999999999", "1.0", "1e0", "%2B1", "1_0", "%D9%A1", "01"])
async def test_a_number_that_no_operator_can_have_is_named(office: Office, number: str) -> None:
    response = await office.client.delete(f"/v1/operators/{number}", headers=office.admin)
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "operator_number"


@pytest.mark.parametrize("token_id", ["nobody", "%00", "%FF", "x" * 200])
async def test_a_token_that_is_none_is_not_found(office: Office, token_id: str) -> None:
    assert (await office.client.delete(f"/v1/tokens/{token_id}", headers=office.admin)).status_code == 404


async def test_our_own_part_of_the_api_takes_json_only(office: Office) -> None:
    response = await office.client.post(
        "/v1/members", content=b"name=x", headers={**office.admin, "Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


async def test_admins_who_act_at_once_do_not_lose_one_anothers_changes(office: Office) -> None:
    responses = await asyncio.gather(*(post(office, "/v1/members", {"name": f"M{n}"}) for n in range(5)))
    assert [response.status_code for response in responses] == [201] * 5
    assert {response.json()["id"] for response in responses} <= {
        row["id"] for row in await items(office, "/v1/members")
    }


async def test_an_admin_sees_how_far_the_views_have_come(office: Office) -> None:
    rows = await items(office, "/v1/projections")
    assert [row["name"] for row in rows] == sorted(HANDLERS)
    assert all(row.keys() == {"name", "position", "events", "seconds", "parked"} for row in rows)
