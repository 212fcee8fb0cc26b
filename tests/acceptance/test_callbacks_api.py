"""Callbacks of a queue over HTTP (docs/contracts/task_scheduler.md)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.webhook_options import WebhookOptions
from application.webhook_targets import TargetPolicy, networks_of
from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackDelayed,
    CallbackFinished,
    CallEnd,
    CallEnded,
    FinishResult,
    Leg,
    Outcome,
)
from domain.permissions import Role
from infrastructure.postgres.connections import service_dsn
from interfaces.bootstrap.services import services
from tests.support.office import Office, Service, served

pytestmark = pytest.mark.anyio

KEYS = {
    "id", "scheduler_id", "name", "a_number", "b_number", "extension_id", "try_count", "try_again_pause", "url_before",
    "url_before_again", "url_success", "url_after", "start_time_utc", "status", "finish_result", "finish_comment", "cdr",
    "create_date_utc",
}  # fmt: skip
FULL = {
    "name": "Данияр",
    "a_number": "1001",
    "b_number": "8 701 123 45 67",
    "extension_id": 204,
    "try_count": 50,
    "try_again_pause": "604800",
    "url_before": "https://crm.example/before",
    "url_before_again": "https://crm.example:8443/again",
    "url_success": "http://crm.example/success?a=1",
    "url_after": "https://crm.example/after",
    "start_time_utc": "2026-11-30 10:00:00",
}
CALL = "0197b1c2-f000-5000-8000-000000000001"
FAILED = CallEnd(outcome=Outcome.BUSY, leg=Leg.B, sip="SIP 486 Busy Here")


def utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


async def listed(office: Office, queue: str, **params: Any) -> list[int]:
    response = await office.get(f"{queue}/task/", **params)
    assert response.status_code == 200, response.text
    return [callback["id"] for callback in response.json()]


async def test_a_callback_scheduled_with_the_least_has_every_key_and_the_defaults(office: Office) -> None:
    queue, before = await office.create_queue(), datetime.now(UTC).replace(microsecond=0)
    response = await office.post_callbacks(queue, {})
    assert response.status_code == 201
    (callback,) = response.json()
    assert callback.keys() == KEYS
    assert {name for name in KEYS if callback[name] is None} == {
        "name", "extension_id", "url_before", "url_before_again", "url_success", "url_after", "finish_result",
        "finish_comment", "cdr",
    }  # fmt: skip
    assert (callback["try_count"], callback["try_again_pause"], callback["status"]) == (1, "60", "scheduled")
    assert callback["scheduler_id"] == int(queue.rpartition("/")[2])
    assert before <= utc(callback["start_time_utc"]) <= utc(callback["create_date_utc"]) <= datetime.now(UTC)


async def test_a_callback_keeps_all_that_was_asked_for_with_numbers_in_e164(office: Office) -> None:
    queue = await office.create_queue()
    (callback,) = await office.schedule_callbacks(queue, {**FULL, "surprise": [1]})
    assert {name: callback[name] for name in FULL} == {**FULL, "b_number": "+77011234567"}
    assert (await office.get(f"{queue}/task/{callback['id']}")).json() == callback
    assert (await office.get(f"{queue}/task/")).json() == [callback]


async def test_null_is_as_if_left_out(office: Office) -> None:
    queue = await office.create_queue()
    optional = dict.fromkeys(FULL.keys() - {"a_number", "b_number"})
    (callback,) = await office.schedule_callbacks(queue, optional)
    assert (callback["try_count"], callback["try_again_pause"], callback["name"]) == (1, "60", None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("+7 (701) 123-45-67", "+77011234567"), ("87011234567", "+77011234567"), ("10", "10"), ("12345678", "12345678")],
)
async def test_numbers_are_e164_national_or_extensions(office: Office, given: str, kept: str) -> None:
    (callback,) = await office.schedule_callbacks(await office.create_queue(), {"a_number": given, "b_number": given})
    assert (callback["a_number"], callback["b_number"]) == (kept, kept)


async def test_a_national_number_is_read_as_of_the_organisations_region(office: Office) -> None:
    await office.change_settings(region="GB")
    (callback,) = await office.schedule_callbacks(await office.create_queue(), {"b_number": "020 7946 0018"})
    assert callback["b_number"] == "+442079460018"


@pytest.mark.parametrize(("given", "shown"), [(0, "0"), ("0", "0"), (90, "90"), ("00090", "90"), (604_800, "604800")])
async def test_the_pause_is_taken_as_text_or_number_and_answered_as_text(
    office: Office, given: Any, shown: str
) -> None:
    (callback,) = await office.schedule_callbacks(await office.create_queue(), {"try_again_pause": given})
    assert callback["try_again_pause"] == shown


@pytest.mark.parametrize("given", [3600, "3600", 0, "0", 31_536_000, "31536000"])
async def test_a_start_may_be_a_number_of_seconds_from_now(office: Office, given: Any) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    (callback,) = await office.schedule_callbacks(await office.create_queue(), {"start_time_utc": given})
    start = utc(callback["start_time_utc"]) - timedelta(seconds=int(given))
    assert before <= start <= datetime.now(UTC)


@pytest.mark.parametrize("given", ["2020-02-29 00:00:00", "0001-01-02 00:00:00"])
async def test_a_start_in_the_past_is_taken_and_answered_as_it_was_given(office: Office, given: str) -> None:
    (callback,) = await office.schedule_callbacks(await office.create_queue(), {"start_time_utc": given})
    assert callback["start_time_utc"] == given


async def test_callbacks_are_answered_in_the_order_sent_with_ascending_ids(office: Office) -> None:
    queue = await office.create_queue()
    responses = await asyncio.gather(
        *(office.post_callbacks(queue, *({"name": f"{turn}.{n}"} for n in range(50))) for turn in range(4))
    )
    for turn, response in enumerate(responses):
        callbacks = response.json()
        assert [callback["name"] for callback in callbacks] == [f"{turn}.{n}" for n in range(50)]
        ids = [callback["id"] for callback in callbacks]
        assert ids == sorted(set(ids))
    assert len(await listed(office, queue)) == 200


async def test_ten_thousand_callbacks_are_one_call_and_stand_side_by_side_in_the_log(office: Office) -> None:
    queue = await office.create_queue()
    callbacks = await office.schedule_callbacks(queue, *({"b_number": f"+7701{n:07}"} for n in range(10_000)))
    assert [callback["b_number"] for callback in callbacks] == [f"+7701{n:07}" for n in range(10_000)]
    ends = [await office.services.log.read(f"callback/{callbacks[index]['id']}") for index in (0, -1)]
    assert ends[1][0].position - ends[0][0].position == 9_999
    last = await office.get(f"{queue}/task/{callbacks[-1]['id']}")
    assert last.json() == callbacks[-1]


async def test_an_attempt_that_runs_shows_as_executed_with_its_call(office: Office) -> None:
    queue = await office.create_queue()
    (callback,) = await office.schedule_callbacks(queue)
    await office.record_facts(callback, AttemptStarted(attempt=1, call_id=CALL))
    shown = (await office.get(f"{queue}/task/{callback['id']}")).json()
    assert shown == {**callback, "status": "executed", "cdr": CALL}


async def test_a_failed_attempt_is_delayed_and_then_finished_with_the_reason(office: Office) -> None:
    queue = await office.create_queue()
    (callback,) = await office.schedule_callbacks(queue, {"try_count": 2})
    due = datetime.now(UTC) + timedelta(minutes=1)
    first = [AttemptStarted(attempt=1, call_id=CALL), AttemptFailed(attempt=1, end=FAILED), CallbackDelayed(due_at=due)]
    await office.record_facts(callback, *first)
    assert (await office.get(f"{queue}/task/{callback['id']}")).json() == {**callback, "status": "delayed", "cdr": CALL}
    other = CALL.replace("1", "2")
    comment = "BUSY b busy (SIP 486 Busy Here)"
    last = [
        AttemptStarted(attempt=2, call_id=other),
        AttemptFailed(attempt=2, end=FAILED),
        CallbackFinished(result=FinishResult.FAILED, comment=comment),
    ]
    await office.record_facts(callback, *last)
    ended = {"status": "finished", "finish_result": "failed", "finish_comment": comment, "cdr": other}
    assert (await office.get(f"{queue}/task/{callback['id']}")).json() == {**callback, **ended}


async def test_a_success_is_finished_and_the_list_shows_the_same_as_the_callback(office: Office) -> None:
    queue = await office.create_queue()
    callback, waiting = await office.schedule_callbacks(queue, {}, {})
    facts = [
        AttemptStarted(attempt=1, call_id=CALL),
        AttemptSucceeded(attempt=1),
        CallbackFinished(result=FinishResult.SUCCESS, comment="ANSWER b"),
        CallEnded(attempt=1, end=CallEnd(outcome=Outcome.SUCCESS, seconds=10.0)),
    ]
    position = await office.record_facts(callback, *facts)
    one = (await office.get(f"{queue}/task/{callback['id']}")).json()
    ended = {"status": "finished", "finish_result": "success", "finish_comment": "ANSWER b", "cdr": CALL}
    assert one == {**callback, **ended}
    asking = {**office.agent, "Perezvon-Position": str(position)}
    assert (await office.get(f"{queue}/task", asking)).json() == [one, waiting]
    assert (await office.get(f"{queue}/task", asking, status="finished")).json() == [one]
    assert (await office.get(f"{queue}/task", asking, status="scheduled")).json() == [waiting]
    assert (await office.get(f"{queue}/task", asking, finish_result="failed")).json() == []


async def test_a_deleted_callback_is_gone_from_everywhere_and_cannot_be_deleted_again(office: Office) -> None:
    queue = await office.create_queue()
    callback, other = await office.schedule_callbacks(queue, {}, {})
    path = f"{queue}/task/{callback['id']}"
    response = await office.client.delete(path, headers=office.admin)
    assert (response.status_code, response.content) == (204, b"")
    assert (await office.get(path)).json() == {"message": "Callback not found", "status": "not_found"}
    assert (await office.client.delete(path, headers=office.admin)).status_code == 404
    assert (await office.get(f"{path}/history")).status_code == 404
    assert await listed(office, queue) == [other["id"]]


async def test_a_finished_callback_is_removed_by_deleting_it(office: Office) -> None:
    queue = await office.create_queue()
    (callback,) = await office.schedule_callbacks(queue)
    finished = [
        AttemptStarted(attempt=1, call_id=CALL),
        AttemptFailed(attempt=1, end=FAILED),
        CallbackFinished(result=FinishResult.FAILED, comment="BUSY b"),
    ]
    await office.record_facts(callback, *finished)
    path = f"{queue}/task/{callback['id']}"
    assert (await office.client.delete(path, headers=office.admin)).status_code == 204
    assert (await office.get(path)).status_code == 404
    items = (await office.get(f"{path}/history", office.admin)).json()["items"]
    assert items[-1]["type"] == "callback.removed.v1"


async def test_deleting_at_the_same_time_succeeds_once(office: Office) -> None:
    queue = await office.create_queue()
    (callback,) = await office.schedule_callbacks(queue)
    path = f"{queue}/task/{callback['id']}"
    responses = await asyncio.gather(*(office.client.delete(path, headers=office.admin) for _ in range(5)))
    assert sorted(response.status_code for response in responses) == [204, 404, 404, 404, 404]


@pytest.mark.parametrize(("role", "status"), [(Role.AUDITOR, 200), (Role.ADMIN, 200), (Role.SUPERVISOR, 404)])
async def test_the_history_of_a_deleted_callback_is_for_auditors(office: Office, role: Role, status: int) -> None:
    queue = await office.create_queue()
    (callback,) = await office.schedule_callbacks(queue)
    path = f"{queue}/task/{callback['id']}"
    await office.client.delete(path, headers=office.admin)
    response = await office.get(f"{path}/history", office.bearers[role])
    assert response.status_code == status
    if status == 200:
        assert [item["type"] for item in response.json()["items"]] == ["callback.scheduled.v1", "callback.cancelled.v1"]


async def test_the_history_tells_who_did_what_and_when(office: Office) -> None:
    queue = await office.create_queue()
    (callback,) = await office.schedule_callbacks(queue, {"name": "x", "url_after": "https://crm.example/after"})
    await office.record_facts(callback, AttemptStarted(attempt=1, call_id=CALL))
    scheduled, started = (await office.get(f"{queue}/task/{callback['id']}/history")).json()["items"]
    assert scheduled["actor"].startswith("token/")
    assert scheduled["data"]["personal"]["b_number"] == callback["b_number"]
    assert (started["version"], started["type"]) == (2, "callback.attempt_started.v1")
    assert (started["actor"], started["data"]) == ("dispatcher", {"attempt": 1, "call_id": CALL})
    assert started["position"] > scheduled["position"]


async def test_a_callback_is_found_in_its_own_queue_only(office: Office, foreign: Office) -> None:
    queue, other = await office.create_queue(), await office.create_queue()
    (callback,) = await office.schedule_callbacks(queue)
    theirs = await foreign.create_queue()
    (foreigns,) = await foreign.schedule_callbacks(theirs)
    for path in (f"{other}/task/{callback['id']}", f"{queue}/task/{foreigns['id']}", f"{theirs}/task/{foreigns['id']}"):
        for asked in (path, f"{path}/history"):
            assert (await office.get(asked, office.admin)).status_code == 404
        assert (await office.client.delete(path, headers=office.admin)).status_code == 404
    assert (await office.post_callbacks(theirs, {})).status_code == 404
    assert (await office.get(f"{theirs}/task")).status_code == 404
    assert await listed(foreign, theirs) == [foreigns["id"]]


@pytest.mark.parametrize("task", ["0", "x", "-1", "9" * 19])
async def test_a_callback_that_there_is_not_is_not_found(office: Office, task: str) -> None:
    queue = await office.create_queue()
    assert (await office.get(f"{queue}/task/{task}")).json()["status"] == "not_found"
    assert (await office.client.delete(f"{queue}/task/{task}", headers=office.admin)).status_code == 404


async def test_the_list_is_taken_in_parts_and_the_link_leads_on_with_the_filter(office: Office) -> None:
    queue = await office.create_queue()
    ids = [callback["id"] for callback in await office.schedule_callbacks(queue, *[{}] * 5)]
    assert await listed(office, queue, page=2, per_page=2) == ids[2:4]
    assert await listed(office, queue, after=ids[0], limit=3) == ids[1:4]
    response = await office.get(f"{queue}/task/", limit=3, status="scheduled")
    following = response.links["next"]["url"]
    assert "status=scheduled" in following
    assert [callback["id"] for callback in (await office.get(following)).json()] == ids[3:]


async def test_without_being_asked_for_a_part_a_list_has_a_thousand_rows_and_a_link(office: Office) -> None:
    queue = await office.create_queue()
    response = await office.post_callbacks(queue, *[{}] * 1_001)
    ids = [callback["id"] for callback in response.json()]
    asking = {**office.agent, "Perezvon-Position": response.headers["Perezvon-Position"]}
    first = await office.get(f"{queue}/task/", asking)
    assert [callback["id"] for callback in first.json()] == ids[:1_000]
    assert [callback["id"] for callback in (await office.get(first.links["next"]["url"])).json()] == ids[1_000:]


async def test_the_same_key_rings_nobody_twice(office: Office) -> None:
    queue, headers = await office.create_queue(), {**office.admin, "Idempotency-Key": "k"}
    tasks = [{"name": str(n), "start_time_utc": 60} for n in range(20)]
    responses = await asyncio.gather(
        *(office.post_callbacks(queue, *tasks, headers=headers) for _ in range(4)), office.post_callbacks(queue, {})
    )
    *same, another = responses
    assert {response.status_code for response in responses} == {201}
    assert all(response.json() == same[0].json() for response in same)
    assert sorted(response.headers.get("Idempotency-Replayed", "") for response in same) == ["", *["true"] * 3]
    assert sorted(await listed(office, queue)) == sorted(
        callback["id"] for response in (same[0], another) for callback in response.json()
    )


async def test_the_first_answer_is_given_again_whatever_happened_since(office: Office) -> None:
    queue, headers = await office.create_queue(), {**office.admin, "Idempotency-Key": "k"}
    first = await office.post_callbacks(queue, {}, {}, headers=headers)
    await office.client.delete(f"{queue}/task/{first.json()[0]['id']}", headers=office.admin)
    again = await office.post_callbacks(queue, {}, {}, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Perezvon-Position"] == first.headers["Perezvon-Position"]


async def test_the_same_key_with_other_callbacks_is_refused(office: Office) -> None:
    queue, headers = await office.create_queue(), {**office.admin, "Idempotency-Key": "k"}
    first = await office.post_callbacks(queue, {}, headers=headers)
    response = await office.post_callbacks(queue, {}, {}, headers=headers)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert await listed(office, queue) == [first.json()[0]["id"]]


async def test_a_network_that_is_opened_may_be_told(service: Service) -> None:
    options = WebhookOptions(targets=TargetPolicy(networks_of("127.0.0.0/8")))
    async with services(service_dsn(service.dsn), options) as opened, served(opened, service.dsn) as other:
        office = await other.office()
        queue = await office.create_queue()
        (callback,) = await office.schedule_callbacks(queue, {"url_after": "http://127.0.0.1:9999/after"})
        assert callback["url_after"] == "http://127.0.0.1:9999/after"
        assert (await office.post_callbacks(queue, {"url_after": "http://10.0.0.1/"})).status_code == 422


async def test_a_url_is_kept_as_it_is_or_refused(office: Office) -> None:
    queue, url = await office.create_queue(), "https://crm.example/a%2Fb%7E/../c;d?x=%zz&y="
    (callback,) = await office.schedule_callbacks(queue, {"url_after": url})
    assert callback["url_after"] == url
    for other in ("https://crm.example/приём", "https://crm.example/a b", "http://168.63.129.16/"):
        refused = await office.post_callbacks(queue, {"url_after": other})
        assert refused.status_code == 422, other
