"""``call_history`` over HTTP: records of calls that were dialled through the simulated network."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from domain.callback.events import AttemptFailed, AttemptStarted, CallbackFinished, CallEnd, FinishResult, Leg, Outcome
from domain.permissions import Role
from infrastructure.dispatch import reconciler
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.network import Network
from interfaces.api.web.path_params import CLIENT_BASE_PATHS
from tests.support.dispatching import ANSWERS, BUSY, FAST, RINGS, Exchange, open_exchange
from tests.support.office import Office, service_with_worker
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

KEYS = {
    "call_uuid", "client_owner_id", "flow", "init_time_gmt", "bridged_time_gmt", "hangup_time_gmt", "duration",
    "bridged_duration", "from_username", "to_username", "bridged_username", "extension_id", "result", "outcome", "leg",
    "sip", "cause", "dial_status", "attempt", "scheduler_id", "task_id", "cdr",
}  # fmt: skip
HISTORY = "/client/@me/call_history"
LEAVES = "+77010007001"
BUSY_END = CallEnd(outcome=Outcome.BUSY, leg=Leg.B, sip="SIP 486 Busy Here", cause=17, dial_status="BUSY")
Call = dict[str, Any]


@pytest.fixture
async def exchange(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Exchange]:
    """Yield a fast phone network with long conversations, unless the test sets other options."""
    network: dict[str, Any] = {"speed": FAST, "talks_s": 3600.0} | getattr(request, "param", {})
    async with open_exchange(database, Network(**network)) as opened:
        yield opened


@pytest.fixture
async def centre(database: str, exchange: Exchange) -> AsyncIterator[Office]:
    """Yield a call centre whose worker dials."""
    async with service_with_worker(database) as service:
        exchange.dispatch()
        yield await service.office()
        await exchange.stop()


async def dial_all_attempts(centre: Office, a_number: str, b_number: str, **fields: Any) -> list[str]:
    """Schedule a callback, wait for all its attempts, and return its path and the ids of its calls."""
    queue = await centre.create_queue(status="on")
    (made,) = await centre.schedule_callbacks(queue, {"a_number": a_number, "b_number": b_number, **fields})
    path, calls = f"{queue}/task/{made['id']}", list[str]()

    async def is_dialled() -> bool:
        items = (await centre.get(f"{path}/history")).json()["items"]
        calls[:] = [item["data"]["call_id"] for item in items if item["type"] == "callback.attempt_started.v1"]
        return len(calls) == fields.get("try_count", 1)

    await eventually_async(is_dialled)
    return [path, *calls]


async def get_call(office: Office, call_id: str) -> Call:
    """Return the call from the API."""
    response = await office.get(f"{HISTORY}/{call_id}")
    assert response.status_code == 200, response.text
    assert response.json().keys() == KEYS
    return response.json()


async def wait_until_ended(office: Office, call_id: str) -> Call:
    """Return the call from the API after it has ended."""

    async def has_ended() -> bool:
        return (await get_call(office, call_id))["hangup_time_gmt"] is not None

    await eventually_async(has_ended)
    return await get_call(office, call_id)


async def wait_until_joined(office: Office, call_id: str) -> Call:
    """Return the call from the API after A and B are connected."""

    async def is_joined() -> bool:
        return (await get_call(office, call_id))["outcome"] == "success"

    await eventually_async(is_joined)
    return await get_call(office, call_id)


def legs(call: Call) -> list[tuple[str, str, bool | None, str | None]]:
    assert all(part.keys() == {"leg", "to_username", "answered", "result"} for part in call["cdr"])
    return [(part["leg"], part["to_username"], part["answered"], part["result"]) for part in call["cdr"]]


def deciding_details(call: Call) -> list[Any]:
    return [call[name] for name in ("result", "outcome", "leg", "sip", "cause", "dial_status")]


def seconds_between(call: Call, first: str, second: str) -> float:
    return (datetime.fromisoformat(call[second]) - datetime.fromisoformat(call[first])).total_seconds()


async def record_call(office: Office, *more: Any) -> tuple[str, str]:
    """Record a started call and further facts, and return the path of its callback and its id."""
    queue, call_id = await office.create_queue(), str(uuid4())
    (callback,) = await office.schedule_callbacks(queue)
    await office.record_facts(callback, AttemptStarted(attempt=1, call_id=call_id), *more)
    return f"{queue}/task/{callback['id']}", call_id


async def test_of_a_call_that_rings_the_start_is_told_and_the_rest_is_null(office: Office) -> None:
    before = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    path, call_id = await record_call(office)
    call = await get_call(office, call_id)
    *_, scheduler_id, _, task_id = path.split("/")
    assert before <= datetime.fromisoformat(call.pop("init_time_gmt")) <= datetime.now(UTC).replace(tzinfo=None)
    assert {name: value for name, value in call.items() if value is not None} == {
        "call_uuid": call_id,
        "client_owner_id": office.organization_id,
        "flow": "out",
        "from_username": "1001",
        "to_username": "+77010001001",
        "attempt": 1,
        "scheduler_id": int(scheduler_id),
        "task_id": int(task_id),
        "cdr": [
            {"leg": "a", "to_username": "1001", "answered": None, "result": None},
            {"leg": "b", "to_username": "+77010001001", "answered": None, "result": None},
        ],
    }


async def test_a_joined_call_is_told_while_it_goes_on(centre: Office) -> None:
    _, call_id = await dial_all_attempts(centre, ANSWERS, "+77010001002", extension_id=204)
    call = await wait_until_joined(centre, call_id)
    assert legs(call) == [("a", ANSWERS, True, "bridged"), ("b", "+77010001002", True, "bridged")]
    assert (call["result"], call["bridged_username"], call["extension_id"]) == ("bridged", "+77010001002", 204)
    assert seconds_between(call, "init_time_gmt", "bridged_time_gmt") >= 0
    assert (call["hangup_time_gmt"], call["duration"], call["bridged_duration"]) == (None, None, None)


@pytest.mark.parametrize("exchange", [{"talks_s": 60.0}], indirect=True)
async def test_a_joined_call_that_has_ended_tells_how_long_they_talked(centre: Office) -> None:
    _, call_id = await dial_all_attempts(centre, ANSWERS, ANSWERS)
    call = await wait_until_ended(centre, call_id)
    assert (call["outcome"], call["bridged_duration"]) == ("success", 60)
    assert abs(call["duration"] - seconds_between(call, "init_time_gmt", "hangup_time_gmt")) <= 1
    assert call["init_time_gmt"] <= call["bridged_time_gmt"] <= call["hangup_time_gmt"]


@pytest.mark.parametrize(
    ("a", "b", "told_of_end", "parts"),
    [
        (BUSY, ANSWERS, ["busy", "busy", "a", "SIP 486 Busy Here", 17, None], [(False, "busy"), (False, None)]),
        (
            ANSWERS,
            BUSY,
            ["busy", "busy", "b", "SIP 486 Busy Here", 17, "BUSY"],
            [(True, "answered"), (False, "busy")],
        ),
        (
            ANSWERS,
            RINGS,
            ["not answered", "no_answer", "b", "SIP 180 Ringing", 16, "NOANSWER"],
            [(True, "answered"), (False, "not answered")],
        ),
        (
            LEAVES,
            RINGS,
            ["not answered", "abandoned", "a", "SIP 200 OK", None, "CANCEL"],
            [(True, "answered"), (False, "not answered")],
        ),
    ],
)
async def test_a_failed_call_tells_which_leg_failed_and_why(
    centre: Office, a: str, b: str, told_of_end: list[Any], parts: list[Any]
) -> None:
    _, call_id = await dial_all_attempts(centre, a, b)
    call = await wait_until_ended(centre, call_id)
    assert deciding_details(call) == told_of_end
    assert [(answered, result) for _, _, answered, result in legs(call)] == parts
    assert (call["bridged_time_gmt"], call["bridged_duration"], call["bridged_username"]) == (None, None, None)
    assert call["duration"] is not None


async def test_each_attempt_of_a_callback_has_a_call_of_its_own(centre: Office) -> None:
    path, first, second = await dial_all_attempts(centre, "+77010008001", ANSWERS, try_count=2, try_again_pause=0)
    calls = [await wait_until_ended(centre, first), await wait_until_joined(centre, second)]
    assert [(call["call_uuid"], call["attempt"], call["outcome"]) for call in calls] == [
        (first, 1, "busy"),
        (second, 2, "success"),
    ]
    assert len({call["task_id"] for call in calls}) == 1
    assert (await centre.get(path)).json()["cdr"] == second


@pytest.mark.parametrize("exchange", [{"speed": 1.0}], indirect=True)
async def test_of_a_lost_call_nobody_knows_how_long_it_was_nor_who_answered(
    centre: Office, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "RECHECK_AFTER_S", 0.0)
    _, call_id = await dial_all_attempts(centre, RINGS, ANSWERS)

    async def rings() -> bool:
        return exchange.network.counts().running == 1

    await eventually_async(rings)
    async with Control(exchange.address) as control:
        await control.restart(keep_ledger=True)
    call = await wait_until_ended(centre, call_id)
    assert deciding_details(call) == ["failed", "lost", None, None, None, None]
    assert [(answered, result) for _, _, answered, result in legs(call)] == [(None, None), (None, None)]
    assert call["duration"] is None


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("in_deleted_queue", [True, False])
@pytest.mark.parametrize(("role", "status"), [(Role.AUDITOR, 200), (Role.ADMIN, 200), (Role.SUPERVISOR, 404)])
async def test_a_call_of_what_is_deleted_is_for_auditors(
    office: Office, role: Role, status: int, *, in_deleted_queue: bool, ended: bool
) -> None:
    failed = CallbackFinished(result=FinishResult.FAILED, comment="BUSY b")
    path, call_id = await record_call(office, *([AttemptFailed(attempt=1, end=BUSY_END), failed] if ended else []))
    deleted = path.partition("/task/")[0] if in_deleted_queue else path
    assert (await office.get(f"{HISTORY}/{call_id}", office.bearers[role])).status_code == 200
    assert (await office.client.delete(deleted, headers=office.admin)).status_code == 204
    response = await office.get(f"{HISTORY}/{call_id}", office.bearers[role])
    assert response.status_code == status
    if status == 404:
        assert response.json() == {"message": "Call not found", "status": "not_found"}
    else:
        assert response.json()["outcome"] == ("busy" if ended else None)


async def test_another_organisations_call_is_not_found_by_any_role(office: Office, foreign: Office) -> None:
    _, call_id = await record_call(foreign)
    for role in (Role.ADMIN, Role.AUDITOR, Role.AGENT):
        assert (await office.get(f"{HISTORY}/{call_id}", office.bearers[role])).status_code == 404
    theirs = f"/client/{foreign.organization_id}/call_history/{call_id}"
    response = await office.get(theirs, office.admin)
    assert (response.status_code, response.json()["status"]) == (404, "client_not_found")
    assert (await get_call(foreign, call_id))["call_uuid"] == call_id


@pytest.mark.parametrize("role", [Role.ANALYST, Role.OPERATOR])
async def test_who_may_not_read_callbacks_may_not_read_calls(office: Office, role: Role) -> None:
    _, call_id = await record_call(office)
    response = await office.get(f"{HISTORY}/{call_id}", office.bearers[role])
    assert (response.status_code, response.json()["status"]) == (403, "access_denied")


@pytest.mark.parametrize("uuid", ["0", "x", "@me", "{}", "%00", "1" * 32, "9f1c2f0e-8a54-4a0a-9d7e-3a2b1c0d4e5f"])
async def test_a_call_that_there_is_not_is_not_found(office: Office, uuid: str) -> None:
    response = await office.get(f"{HISTORY}/{uuid}")
    assert (response.status_code, response.json()["status"]) == (404, "not_found")


@pytest.mark.parametrize("base", CLIENT_BASE_PATHS)
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("client", ["@me", "number"])
async def test_every_spelling_of_the_path_is_served(office: Office, base: str, slash: str, client: str) -> None:
    _, call_id = await record_call(office)
    named = str(office.organization_id) if client == "number" else client
    for spelled in (call_id, call_id.upper()):
        response = await office.get(f"{base}/{named}/call_history/{spelled}{slash}")
        assert (response.status_code, response.json()["call_uuid"]) == (200, call_id)
