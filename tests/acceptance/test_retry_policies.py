"""Retry policies, end to end: set over HTTP, applied to callbacks that are dialled through the simulated network."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.callback.callback import Callback
from infrastructure.gateways.simulated.network import Network
from tests.support.dispatching import ANSWERS, BUSY, FAST, Exchange, open_exchange
from tests.support.office import Office, service_with_worker
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

UNKNOWN, CONGESTED = "+77010005001", "+77010006001"
BUSY_IS_FINAL = {"outcomes": {"busy": {"retry": False}}}
BUSY_IS_AGAIN_AT_ONCE = {"outcomes": {"busy": {"pause": 0}}}


@pytest.fixture
async def exchange(database: str) -> AsyncIterator[Exchange]:
    async with open_exchange(database, Network(speed=FAST)) as opened:
        yield opened


@pytest.fixture
async def office(database: str, exchange: Exchange) -> AsyncIterator[Office]:
    """Yield a call centre whose worker dials."""
    async with service_with_worker(database) as service:
        exchange.dispatch()
        yield await service.office()
        await exchange.stop()


async def create_queue_with_policy(office: Office, policy: Any = None) -> str:
    """Create a queue with the policy and return its path. The worker reads the policy before any later callback."""
    queue = await office.create_queue(status="on")
    rules = {"retry_policy": policy, "client_leg": None}
    path = f"/v1/queues/{queue.rpartition('/')[2]}/rules"
    response = await office.client.put(path, json=rules, headers=office.admin)
    assert response.status_code == 200, response.text
    return queue


async def schedule_and_wait(office: Office, exchange: Exchange, queue: str, b_number: str, **fields: Any) -> Callback:
    """Schedule a callback, wait until it is finished or delayed, and return it."""
    wanted = {"b_number": b_number, "try_count": 3, "try_again_pause": 604_800, **fields}
    (scheduled,) = await office.schedule_callbacks(queue, wanted)

    async def settled() -> bool:
        return (await exchange.callback(scheduled["id"])).status in {"finished", "delayed"}

    await eventually_async(settled, timeout=20)
    return await exchange.callback(scheduled["id"])


async def test_without_a_policy_a_number_that_nobody_has_is_tried_again_after_the_pause(
    office: Office, exchange: Exchange
) -> None:
    callback = await schedule_and_wait(office, exchange, await create_queue_with_policy(office), UNKNOWN)
    assert (callback.status, callback.attempt) == ("delayed", 1)


async def test_a_number_that_nobody_has_ends_the_callback_at_once_where_the_queue_says_so(
    office: Office, exchange: Exchange
) -> None:
    queue = await create_queue_with_policy(office, {"outcomes": {"invalid_number": {"retry": False}}})
    callback = await schedule_and_wait(office, exchange, queue, UNKNOWN)
    assert (callback.status, callback.finish_result, callback.attempt) == ("finished", "failed", 1)
    assert callback.finish_comment == "CHANUNAVAIL b invalid_number (SIP 404 Not Found)"
    assert exchange.network.counts().placed == 1


async def test_a_congestion_is_free_of_charge_where_the_queue_says_so(office: Office, exchange: Exchange) -> None:
    queue = await create_queue_with_policy(office, {"free_congestions": 1})
    wanted = {"b_number": CONGESTED, "try_count": 1, "try_again_pause": 0}
    (scheduled,) = await office.schedule_callbacks(queue, wanted)

    async def finished() -> bool:
        return (await exchange.callback(scheduled["id"])).status == "finished"

    await eventually_async(finished, timeout=20)
    callback = await exchange.callback(scheduled["id"])
    assert (callback.attempt, callback.forgiven) == (2, 1)
    assert callback.finish_comment == "CONGESTION b congestion (SIP 503 Service Unavailable)"
    assert exchange.network.counts().placed == 2
    items = (await office.get(f"{queue}/task/{scheduled['id']}/history")).json()["items"]
    (delayed,) = [item for item in items if item["type"] == "callback.delayed.v1"]
    assert (delayed["data"]["is_free"], delayed["actor"]) == (True, "policy/retry_callbacks")


async def test_the_organisations_default_is_followed_and_a_queue_may_have_another(
    office: Office, exchange: Exchange
) -> None:
    settings = {"retry_policy": BUSY_IS_FINAL}
    response = await office.client.patch("/v1/organization/settings", json=settings, headers=office.admin)
    assert response.status_code == 200, response.text
    follows = await schedule_and_wait(office, exchange, await create_queue_with_policy(office), BUSY)
    assert (follows.status, follows.attempt) == ("finished", 1)
    own = await create_queue_with_policy(office, BUSY_IS_AGAIN_AT_ONCE)
    (scheduled,) = await office.schedule_callbacks(own, {"b_number": BUSY, "try_count": 3, "try_again_pause": 604_800})

    async def finished() -> bool:
        return (await exchange.callback(scheduled["id"])).status == "finished"

    await eventually_async(finished, timeout=20)
    assert (await exchange.callback(scheduled["id"])).attempt == 3
    contract = await schedule_and_wait(office, exchange, await create_queue_with_policy(office, {}), BUSY)
    assert (contract.status, contract.attempt) == ("delayed", 1)


async def test_a_success_is_a_success_whatever_the_policy(office: Office, exchange: Exchange) -> None:
    callback = await schedule_and_wait(office, exchange, await create_queue_with_policy(office, BUSY_IS_FINAL), ANSWERS)
    assert (callback.status, callback.finish_result) == ("finished", "success")
