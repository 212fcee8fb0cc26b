"""Webhooks over the API: deliveries, resending, and the secret that signs them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.policies.notify_webhooks import Message
from domain.permissions import Role
from infrastructure.webhooks.signatures import key_of
from tests.support.office import Office, Service
from tests.support.receiving import Receiver, receiving
from tests.support.waiting import eventually_async
from tests.support.webhooks import change, enqueue_all, message, worker

pytestmark = pytest.mark.anyio

DELIVERIES = "/v1/webhook-deliveries"


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as found:
        yield found


def callback_number(office: Office, callback: int) -> int:
    """Return a callback number that no other organisation uses."""
    return office.organization_id * 1000 + callback


async def send_messages(
    service: Service, office: Office, receiver: Receiver, *callbacks: int, **more: Any
) -> list[Message]:
    """Enqueue a message about each callback, and wait until each was attempted."""
    made = [
        message(
            receiver.url, organization_id=office.organization_id, callback_id=callback_number(office, callback), **more
        )
        for callback in callbacks
    ]
    await enqueue_all(service.dsn, made)

    async def is_attempted() -> bool:
        found = [await get_delivery(office, message_.id) for message_ in made]
        return all(delivery["attempts"] for delivery in found)

    async with worker(service.dsn):
        await eventually_async(is_attempted)
    return made


async def get_delivery(office: Office, delivery_id: str) -> dict[str, Any]:
    response = await office.client.get(f"{DELIVERIES}/{delivery_id}", headers=office.admin)
    assert response.status_code == 200, response.text
    return response.json()


async def list_deliveries(office: Office, **params: Any) -> Sequence[dict[str, Any]]:
    response = await office.client.get(DELIVERIES, params=params, headers=office.admin)
    assert response.status_code == 200, response.text
    return response.json()["items"]


async def test_a_delivery_and_its_attempts_are_shown(service: Service, office: Office, receiver: Receiver) -> None:
    receiver.responses += [500]
    (made,) = await send_messages(service, office, receiver, 65)
    shown = await get_delivery(office, made.id)
    assert (shown["state"], shown["attempts"], shown["error"]) == ("pending", 1, "status_500")
    assert (shown["callback_id"], shown["kind"], shown["url"]) == (callback_number(office, 65), "after", receiver.url)
    assert shown["due_at"] > shown["recorded_at"]
    response = await office.client.get(f"{DELIVERIES}/{made.id}/attempts", headers=office.admin)
    (attempt,) = response.json()["items"]
    assert (attempt["attempt"], attempt["status"], attempt["error"]) == (1, 500, "status_500")
    assert attempt["ms"] >= 0


async def test_the_list_is_filtered_by_callback_and_state_and_goes_on_after_a_number(
    service: Service, office: Office, receiver: Receiver
) -> None:
    receiver.responses += [410]
    first = await send_messages(service, office, receiver, 1)
    rest = await send_messages(service, office, receiver, 2, 3, 2)
    everything = [made.id for made in [*first, *rest]]
    assert [item["id"] for item in await list_deliveries(office)] == everything
    assert [item["id"] for item in await list_deliveries(office, callback=callback_number(office, 2))] == [
        rest[0].id,
        rest[2].id,
    ]
    assert [item["id"] for item in await list_deliveries(office, state="failed")] == [first[0].id]
    assert [
        item["id"] for item in await list_deliveries(office, state="failed", callback=callback_number(office, 2))
    ] == []
    response = await office.client.get(DELIVERIES, params={"limit": 3}, headers=office.admin)
    page = response.json()
    assert [item["id"] for item in page["items"]] == everything[:3]
    assert [item["id"] for item in await list_deliveries(office, after=page["next"])] == everything[3:]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 1001}, {"after": -1}, {"callback": 0}, {"state": "lost"}])
async def test_a_bad_filter_is_told_by_its_name(office: Office, params: dict[str, Any]) -> None:
    response = await office.client.get(DELIVERIES, params=params, headers=office.admin)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    (fault,) = response.json()["errors"]
    assert fault["parameter"] == next(iter(params))


async def test_what_failed_is_sent_again_on_a_new_schedule(
    service: Service, office: Office, receiver: Receiver
) -> None:
    receiver.responses += [410]
    (made,) = await send_messages(service, office, receiver, 1)
    assert (await get_delivery(office, made.id))["state"] == "failed"
    response = await office.client.post(f"{DELIVERIES}/{made.id}/resend", headers=office.bearers[Role.SUPERVISOR])
    assert response.status_code == 202
    assert (response.json()["state"], response.json()["error"], response.json()["finished_at"]) == (
        "pending",
        None,
        None,
    )

    async def is_delivered() -> bool:
        return (await get_delivery(office, made.id))["state"] == "delivered"

    async with worker(service.dsn):
        await eventually_async(is_delivered)
    assert [received.headers["webhook-attempt"] for received in receiver.got] == ["1", "2"]
    assert receiver.got[0].body == receiver.got[1].body


async def test_what_expired_long_ago_can_be_sent_again(service: Service, office: Office, receiver: Receiver) -> None:
    (made,) = await send_messages(service, office, receiver, 1)
    await change(
        service.dsn,
        f"UPDATE SCHEMA.webhook_deliveries SET state = 'expired', expires_at = now() - interval '1 day'"
        f" WHERE id = '{made.id}'",
    )
    await office.client.post(f"{DELIVERIES}/{made.id}/resend", headers=office.admin)

    async def is_delivered() -> bool:
        return (await get_delivery(office, made.id))["state"] == "delivered"

    async with worker(service.dsn):
        await eventually_async(is_delivered)
    assert len(receiver.got) == 2


async def test_what_is_sent_again_expires_when_it_is_deleted_at_the_latest(
    service: Service, office: Office, receiver: Receiver
) -> None:
    (made,) = await send_messages(service, office, receiver, 1)
    await change(
        service.dsn,
        "UPDATE SCHEMA.webhook_deliveries SET recorded_at = now() - interval '30 days' + interval '1 minute'",
    )
    again = (await office.client.post(f"{DELIVERIES}/{made.id}/resend", headers=office.admin)).json()
    assert again["state"] == "pending"
    assert datetime.fromisoformat(again["expires_at"]) < datetime.now(UTC) + timedelta(minutes=2)


async def test_three_refusals_in_a_row_are_flagged(service: Service, office: Office, receiver: Receiver) -> None:
    receiver.default = 403
    (made,) = await send_messages(service, office, receiver, 1)
    assert not (await get_delivery(office, made.id))["is_flagged"]
    for attempts in (2, 3):
        await change(service.dsn, f"UPDATE SCHEMA.webhook_deliveries SET due_at = now() WHERE id = '{made.id}'")

        async def is_attempted(times: int = attempts) -> bool:
            return (await get_delivery(office, made.id))["attempts"] >= times

        async with worker(service.dsn):
            await eventually_async(is_attempted)
    assert (await get_delivery(office, made.id))["is_flagged"]


@pytest.mark.parametrize("path", ["", "/attempts", "/resend"])
async def test_another_organisation_s_deliveries_are_none(
    service: Service, office: Office, foreign: Office, receiver: Receiver, path: str
) -> None:
    (made,) = await send_messages(service, office, receiver, 1)
    method = "POST" if path == "/resend" else "GET"
    response = await foreign.client.request(method, f"{DELIVERIES}/{made.id}{path}", headers=foreign.admin)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert await list_deliveries(foreign) == []
    assert (await get_delivery(office, made.id))["state"] == "delivered"


@pytest.mark.parametrize("delivery_id", ["msg_" + "0" * 32, "x", "msg_%00", "м" * 300])
async def test_an_unknown_id_is_not_found(office: Office, delivery_id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/attempts"), ("POST", "/resend")):
        response = await office.client.request(method, f"{DELIVERIES}/{delivery_id}{path}", headers=office.admin)
        assert response.status_code == 404


@pytest.mark.parametrize("path", [f"{DELIVERIES}/msg_{'0' * 32}/resend", "/v1/webhook-secret/rotate"])
async def test_an_idempotency_key_is_refused_rather_than_ignored(office: Office, path: str) -> None:
    headers = {**office.admin, "Idempotency-Key": "k"}
    response = await office.client.post(path, json={}, headers=headers)
    assert response.status_code == 422
    assert response.json()["errors"][0]["header"] == "Idempotency-Key"


async def test_an_admin_sees_and_rotates_the_secret(office: Office) -> None:
    shown = (await office.client.get("/v1/webhook-secret", headers=office.admin)).json()["secret"]
    assert len(key_of(shown)) == 32
    rotated = await office.client.post("/v1/webhook-secret/rotate", json={"overlap_s": 60}, headers=office.admin)
    assert rotated.status_code == 200
    now = (await office.client.get("/v1/webhook-secret", headers=office.admin)).json()["secret"]
    assert now == rotated.json()["secret"] != shown


@pytest.mark.parametrize("body", [{"overlap_s": -1}, {"overlap_s": 604_801}, {"overlap_s": "1"}, {"overlap": 1}])
async def test_a_bad_overlap_is_refused(office: Office, body: dict[str, Any]) -> None:
    before = (await office.client.get("/v1/webhook-secret", headers=office.admin)).json()
    response = await office.client.post("/v1/webhook-secret/rotate", json=body, headers=office.admin)
    assert response.status_code == 422
    assert (await office.client.get("/v1/webhook-secret", headers=office.admin)).json() == before


async def test_a_rotation_names_the_token_that_asked_for_it(office: Office) -> None:
    response = await office.client.post("/v1/webhook-secret/rotate", json={}, headers=office.admin)

    async def on_record() -> list[dict[str, Any]]:
        trail = await office.client.get(
            "/v1/audit-trail", params={"type": "organization.webhook_secret_rotated.v1"}, headers=office.admin
        )
        return trail.json()["items"]

    (event,) = await eventually_async(on_record)
    assert event["actor"].startswith("token/")
    assert event["causation"] == response.headers["x-request-id"]


async def test_parallel_readers_see_one_secret(office: Office) -> None:
    responses = await asyncio.gather(*(office.client.get("/v1/webhook-secret", headers=office.admin) for _ in range(4)))
    assert len({response.json()["secret"] for response in responses}) == 1
