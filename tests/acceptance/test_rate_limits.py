"""Rate limits of operators, tokens, and addresses without either."""

from collections.abc import AsyncGenerator

import httpx
import pytest

from interfaces.config.settings import Settings
from tests.support.office import Office, Service, changed, served

pytestmark = pytest.mark.anyio

# So slow that no bucket refills during a test.
LIMITED = Settings(
    operator_rate=0.001, operator_burst=3, token_rate=0.001, token_burst=4, address_rate=0.001, address_burst=5
)


@pytest.fixture
async def limited(service: Service, office: Office) -> AsyncGenerator[Office]:
    """Yield an organisation on an API with small limits."""
    async with served(service.services, service.dsn, LIMITED) as found:
        office.client = found.client
        yield office


def statuses(responses: list[httpx.Response]) -> list[int]:
    return [response.status_code for response in responses]


async def test_an_operator_is_limited_and_told_when_to_come_back(limited: Office) -> None:
    responses = [await limited.post_task() for _ in range(4)]
    assert statuses(responses) == [200, 200, 200, 429]
    assert [response.headers["X-RateLimit-Remaining"] for response in responses] == ["2", "1", "0", "0"]
    assert {response.headers["X-RateLimit-Limit"] for response in responses} == {"3"}
    assert int(responses[-1].headers["Retry-After"]) > 900
    assert responses[-1].json() == {"detail": "Too many requests; wait as long as Retry-After says"}


async def test_operators_do_not_pay_for_one_another_nor_their_address_for_them(
    limited: Office, foreign: Office
) -> None:
    foreign.client = limited.client
    for _ in range(4):
        await limited.post_task()
    assert statuses([await foreign.post_task() for _ in range(4)]) == [200, 200, 200, 429]
    unknown = await limited.post_task(operator_id="op_unknown")
    assert unknown.status_code == 422
    assert unknown.headers["X-RateLimit-Remaining"] == "4"


async def test_a_token_is_limited_on_all_its_requests_the_refused_ones_too(limited: Office) -> None:
    responses = [await limited.get(path) for path in ("/api/tasks", "/api/tasks/x", "/v1/tokens", "/api/tasks?page=0")]
    assert statuses(responses) == [200, 404, 403, 422]
    refused = await limited.get("/v1/tokens")
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert (await limited.get("/api/tasks", limited.admin)).status_code == 200


async def test_a_token_that_files_pays_beside_its_operator(limited: Office) -> None:
    assert statuses([await limited.post_task(limited.agent) for _ in range(4)]) == [200, 200, 200, 429]
    assert statuses([await limited.get("/api/tasks")]) == [429]
    assert statuses([await limited.post_task(limited.admin)]) == [429]


async def test_garbage_is_paid_by_the_address_before_its_body_is_read(limited: Office) -> None:
    garbage = [await limited.client.post("/api/tasks", content=b"{") for _ in range(5)]
    assert statuses(garbage) == [422] * 5

    async def never_read() -> AsyncGenerator[bytes]:
        yield b"{"
        pytest.fail("the body was read")

    assert statuses([await limited.client.post("/api/tasks", content=never_read())]) == [429]
    assert statuses([await limited.get("/api/tasks")]) == [200]


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Bearer pz_a_b"}])
async def test_who_cannot_say_who_they_are_is_paid_for_by_the_address(limited: Office, header: dict[str, str]) -> None:
    responses = [await limited.get("/api/tasks", header) for _ in range(6)]
    assert statuses(responses) == [401] * 5 + [429]


async def test_a_change_of_key_does_not_refill_an_operators_bucket(limited: Office) -> None:
    for _ in range(4):
        await limited.post_task()
    path = f"/v1/operators/{limited.operator_number}/renew"
    limited.operator_id = (await limited.client.post(path, headers=limited.admin)).json()["operator_id"]
    assert (await limited.post_task()).status_code == 429


async def test_health_metrics_and_documentation_are_not_limited(limited: Office) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json"):
        assert statuses([await limited.get(path, {}) for _ in range(6)]) == [200] * 6


async def test_settings_end_all_limits(service: Service, office: Office) -> None:
    async with served(service.services, service.dsn, changed(LIMITED, rate_limits=False)) as found:
        office.client = found.client
        responses = [await office.post_task() for _ in range(5)] + [await office.get("/api/tasks") for _ in range(6)]
    assert statuses(responses) == [200] * 11
    assert "X-RateLimit-Limit" not in responses[0].headers
