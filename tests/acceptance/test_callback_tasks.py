"""Tasks of type callback, end to end: filed over HTTP and dialled through the simulated network until they end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.callback.callback import Status
from domain.model import Recorded
from infrastructure.event_log.identity import read_identity
from infrastructure.event_log.reader import BatchReader
from infrastructure.gateways.simulated.network import Network
from tests.support.dispatching import ANSWERS, BUSY, FAST, RINGS, Exchange, open_exchange
from tests.support.office import Office, service_with_worker
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

REQUEST = "0a1b2c3d4e5f40718293a4b5c6d7e8f9"


@pytest.fixture
async def exchange(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Exchange]:
    """Yield a fast phone network, unless the test sets its speed."""
    async with open_exchange(database, Network(speed=getattr(request, "param", FAST))) as opened:
        yield opened


@pytest.fixture
async def office(database: str, exchange: Exchange) -> AsyncIterator[Office]:
    """Yield a call centre whose worker dials tasks through its queue, with at most two attempts and no pause."""
    async with service_with_worker(database) as service:
        office = await service.office()
        added = await office.client.post("/v1/operators", json={"name": "L", "number": "1001"}, headers=office.admin)
        office.operator_id = added.json()["operator_id"]
        queue = await office.create_queue(status="on", concurrent_task_limit=2)
        await office.change_settings(callback_queue=int(queue.rpartition("/")[2]), callback_tries=2, callback_pause=0)
        exchange.dispatch()
        yield office
        await exchange.stop()


async def file_callback_task(office: Office, phone: str) -> str:
    """File a task of type callback and return its id."""
    response = await office.post_task({"X-Request-Id": REQUEST}, task_type="callback", caller_phone=phone)
    assert response.status_code == 200, response.text
    return response.json()["id"]


async def wait_for_status(office: Office, task_id: str, status: str) -> dict[str, Any]:
    """Wait until the task has the status, and return it."""
    task: dict[str, Any] = {}

    async def has_it() -> bool:
        task.update((await office.get(f"/api/tasks/{task_id}")).json())
        return task["status"] == status

    await eventually_async(has_it, timeout=20)
    return task


async def history(office: Office, task_id: str) -> list[tuple[str, str]]:
    """Return the types and actors of the task's events."""
    items = (await office.get(f"/api/tasks/{task_id}/history")).json()["items"]
    return [(item["type"].removeprefix("task.").removesuffix(".v1"), item["actor"]) for item in items]


async def callbacks(exchange: Exchange) -> list[int]:
    """Return the ids of all callbacks, oldest first."""
    rows = await exchange.rows(
        "SELECT DISTINCT split_part(originator_id, '/', 2)::bigint FROM perezvon_1.stored_events"
        " WHERE originator_id LIKE 'callback/%%' ORDER BY 1"
    )
    return [number for (number,) in rows]


async def events(exchange: Exchange) -> dict[int, Recorded[Any]]:
    """Return the events of the log by position."""
    batch = await BatchReader("", await read_identity(exchange.owner)).after(exchange.owner, 0)
    return {event.position: event for event in batch.events if isinstance(event, Recorded)} if batch else {}


def origin(log: dict[int, Recorded[Any]], event: Recorded[Any]) -> str | None:
    """Follow causation ids from an event back to the cause of the first event; each step must go back in the log."""
    while (cause := event.causation) is not None and cause.isdecimal():
        assert int(cause) < event.position
        event = log[int(cause)]
    return event.causation


POLICY = "policy/carry_out_callback_tasks"


async def test_a_task_is_completed_when_both_are_connected_and_started_when_dialling_is(
    office: Office, exchange: Exchange
) -> None:
    task_id = await file_callback_task(office, ANSWERS)
    task = await wait_for_status(office, task_id, "completed")
    assert (task["error_message"], task["completed_at"] is not None) == (None, True)
    assert await history(office, task_id) == [("filed", "operator/2"), ("started", POLICY), ("completed", POLICY)]
    (number,) = await callbacks(exchange)
    callback = await exchange.callback(number)
    assert (callback.details.a_number, callback.details.b_number) == ("1001", ANSWERS)
    assert callback.scheduled.task_id == task_id
    await exchange.all_ended([number])
    assert exchange.network.counts().placed == 1


async def test_a_task_fails_with_the_last_reason_when_its_tries_are_spent_and_reprocess_dials_afresh(
    office: Office, exchange: Exchange
) -> None:
    task_id = await file_callback_task(office, BUSY)
    task = await wait_for_status(office, task_id, "failed")
    assert task["error_message"].startswith("BUSY b busy")
    assert exchange.network.counts().placed == 2
    again = await office.client.post(f"/api/tasks/{task_id}/reprocess", headers=office.agent)
    assert (again.status_code, again.json()["status"], again.json()["error_message"]) == (200, "pending", None)

    async def failed_again() -> bool:
        task = (await office.get(f"/api/tasks/{task_id}")).json()
        return task["attempt"] == 2 and task["status"] == "failed"

    await eventually_async(failed_again, timeout=20)
    first, second = await callbacks(exchange)
    assert [await exchange.tags(number) for number in (first, second)] == [
        [
            "scheduled",
            *("attempt_started", "attempt_failed", "delayed", "attempt_started", "attempt_failed"),
            "finished",
        ]
    ] * 2
    assert (exchange.network.counts().placed, exchange.network.counts().most_dials) == (4, 1)
    told = [what for what, _ in await history(office, task_id)]
    assert told == ["filed", "started", "failed", "reprocessed", "started", "failed"]


@pytest.mark.parametrize("exchange", [1.0], indirect=True)
async def test_cancelling_a_task_hangs_up_its_callback(office: Office, exchange: Exchange) -> None:
    task_id = await file_callback_task(office, RINGS)
    await wait_for_status(office, task_id, "in_progress")
    cancelled = await office.set_status(task_id, "cancelled")
    assert cancelled.status_code == 200, cancelled.text
    (number,) = await callbacks(exchange)

    async def is_over() -> bool:
        callback = await exchange.callback(number)
        return callback.status is Status.CANCELLED and not callback.call_runs

    await eventually_async(is_over, timeout=20)
    assert exchange.network.counts().running == 0
    assert (await exchange.callback(number)).attempt == 1
    assert (await office.get(f"/api/tasks/{task_id}")).json()["status"] == "cancelled"


async def test_every_step_walks_back_to_the_request(office: Office, exchange: Exchange) -> None:
    tasks = [await file_callback_task(office, phone) for phone in (ANSWERS, BUSY)]
    await wait_for_status(office, tasks[0], "completed")
    await wait_for_status(office, tasks[1], "failed")
    await exchange.all_ended(await callbacks(exchange))
    log = await events(exchange)
    steps = [event for event in log.values() if event.stream.startswith(("task/", "callback/"))]
    assert len(steps) == 3 + 5 + 3 + 7
    assert {(origin(log, event), event.correlation) for event in steps} == {(REQUEST, REQUEST)}
    assert {event.actor for event in steps} == {
        "operator/2", "dispatcher", "switch", POLICY, "policy/retry_callbacks",
    }  # fmt: skip


async def test_every_webhook_walks_back_to_the_request(office: Office, exchange: Exchange) -> None:
    queue = await office.create_queue(status="on")
    urls = {f"url_{name}": f"https://crm.example/{name}" for name in ("before", "before_again", "success", "after")}
    response = await office.client.post(
        f"{queue}/task/",
        json={"tasks": [{"a_number": "1001", "b_number": BUSY, "try_count": 2, "try_again_pause": 0, **urls}]},
        headers={**office.admin, "X-Request-Id": REQUEST},
    )
    assert response.status_code == 201, response.text
    webhooks = "SELECT url, position FROM perezvon_1.webhook_deliveries ORDER BY position"

    async def all_are_there() -> bool:
        return len(await exchange.rows(webhooks)) == 3

    await eventually_async(all_are_there, timeout=20)
    found = await exchange.rows(webhooks)
    assert [url for url, _ in found] == [urls["url_before"], urls["url_before_again"], urls["url_after"]]
    log = await events(exchange)
    assert {origin(log, log[position]) for _, position in found} == {REQUEST}
