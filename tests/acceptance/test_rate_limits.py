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
    assert unknown.headers["X-RateLimit-Remaining"] == "2"  # the two refused ones are paid by the address


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


async def test_liveness_is_not_limited(limited: Office) -> None:
    assert statuses([await limited.get("/health/live", {}) for _ in range(10)]) == [200] * 10


@pytest.mark.parametrize("path", ["/health/ready", "/openapi.json", "/docs", "/docs/static/docs.js"])
async def test_readiness_and_documentation_have_a_limit_of_their_own(limited: Office, path: str) -> None:
    assert statuses([await limited.get(path, {}) for _ in range(6)]) == [200] * 5 + [429]
    assert statuses([await limited.get("/api/tasks", {}), await limited.post_task()]) == [401, 200]


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Bearer pz_a_b"}])
async def test_bad_tokens_do_not_lock_out_who_is_behind_the_same_address(
    limited: Office, header: dict[str, str]
) -> None:
    assert statuses([await limited.get("/api/tasks", header) for _ in range(6)])[-1] == 429
    assert (await limited.get("/api/tasks")).status_code == 200
    assert (await limited.post_task()).status_code == 200


async def test_unknown_keys_lock_out_only_operators_that_nobody_knows_behind_the_same_address(
    limited: Office, foreign: Office
) -> None:
    foreign.client = limited.client
    assert (await limited.post_task()).status_code == 200
    assert statuses([await limited.post_task(operator_id="op_unknown") for _ in range(6)]) == [422] * 5 + [429]
    assert statuses([await limited.post_task() for _ in range(3)]) == [200, 200, 429]
    assert (await foreign.post_task()).status_code == 429
    assert (await limited.post_task(call_transcription="x" * 70_000)).status_code == 429


async def test_an_operator_over_its_limit_is_paid_by_its_address(limited: Office) -> None:
    responses = [await limited.post_task() for _ in range(9)]
    assert statuses(responses) == [200] * 3 + [429] * 6
    assert {response.headers["X-RateLimit-Limit"] for response in responses} == {"3"}
    unknown = await limited.post_task(operator_id="op_unknown")
    assert (unknown.status_code, unknown.headers["X-RateLimit-Limit"]) == (429, "5")


async def test_an_organisation_is_limited_over_all_its_tokens_and_operators(
    service: Service, office: Office, foreign: Office
) -> None:
    async with served(service.services, service.dsn, Settings(organization_rate=1, organization_burst=4)) as found:
        office.client = foreign.client = found.client
        responses = [
            await office.get("/api/tasks"),
            await office.get("/api/tasks", office.admin),
            await office.post_task(),
            await office.post_task(office.admin),
            await office.get("/api/tasks"),
        ]
        assert statuses(responses) == [200, 200, 200, 200, 429]
        assert {response.headers["X-RateLimit-Limit"] for response in responses[:2]} == {"4"}
        assert (await foreign.get("/api/tasks")).status_code == 200


async def test_an_organisation_may_have_a_rate_of_its_own(service: Service, office: Office) -> None:
    await office.change_settings(limits={"organization_rate": 1, "organization_burst": 2})
    async with served(service.services, service.dsn, Settings()) as found:
        office.client = found.client
        assert statuses([await office.get("/api/tasks") for _ in range(3)]) == [200, 200, 429]
        assert (await office.post_task()).status_code == 429


async def test_settings_end_all_limits(service: Service, office: Office) -> None:
    async with served(service.services, service.dsn, changed(LIMITED, rate_limits=False)) as found:
        office.client = found.client
        responses = [await office.post_task() for _ in range(5)] + [await office.get("/api/tasks") for _ in range(6)]
    assert statuses(responses) == [200] * 11
    assert "X-RateLimit-Limit" not in responses[0].headers
