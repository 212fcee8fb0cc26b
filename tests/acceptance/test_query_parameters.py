"""Query parameters that a route does not have: the two contracts name them in a header, ``/v1`` refuses them."""

import pytest
from litestar.routes import HTTPRoute

from domain.permissions import Role
from tests.support.office import QUEUES, Office, Service

pytestmark = pytest.mark.anyio

OURS = ["/v1/audit-trail", "/v1/queue-board", "/v1/webhook-deliveries", "/v1/operators", "/v1/organization"]


@pytest.mark.parametrize("path", ["/api/tasks", QUEUES])
async def test_the_contracts_ignore_what_they_do_not_know_and_say_so(office: Office, path: str) -> None:
    response = await office.get(f"{path}?overdue=true&page=1&x=1&x=2&%D1%8F,%0d%0a=3&&=4")
    assert response.status_code == 200
    assert response.headers["Perezvon-Ignored"] == "overdue, x, %D1%8F%2C%0D%0A"
    assert "Perezvon-Ignored" not in (await office.get(f"{path}?page=1")).headers


async def test_what_was_ignored_is_also_named_beside_an_error_and_by_routes_without_parameters(office: Office) -> None:
    refused = await office.get("/api/tasks?overdue=true&page=0")
    task = await office.client.post("/api/tasks?overdue=true", json={"operator_id": office.operator_id, "title": "x"})
    assert [response.status_code for response in (refused, task)] == [422, 200]
    assert {response.headers["Perezvon-Ignored"] for response in (refused, task)} == {"overdue"}


async def test_the_header_is_bounded(office: Office) -> None:
    many = "&".join(f"{number:0200}" for number in range(60))
    response = await office.get(f"/api/tasks?{many}")
    assert response.headers["Perezvon-Ignored"].split(", ") == ["0" * 50]
    many = "&".join(f"x{number}" for number in range(60))
    response = await office.get(f"/api/tasks?{many}")
    assert response.headers["Perezvon-Ignored"].split(", ") == [f"x{number}" for number in range(10)]


@pytest.mark.parametrize("path", OURS)
async def test_our_own_routes_refuse_what_they_do_not_know_and_name_what_they_do(office: Office, path: str) -> None:
    response = await office.get(f"{path}?overdue=true", office.admin)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert (error["parameter"], error["code"]) == ("overdue", "extra_forbidden")
    assert ("limit" in error["detail"]) == (path in OURS[:3])


async def test_our_own_routes_refuse_a_parameter_that_is_repeated(office: Office) -> None:
    response = await office.get("/v1/webhook-deliveries?state=failed&state=pending", office.admin)
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"detail": "Expected one value, not 2", "code": "value_error", "parameter": "state"}
    ]


def test_every_route_either_refuses_or_names_unknown_parameters(service: Service) -> None:
    for route in service.app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith(("/v1", "/api", "/client")):
            for handler in route.route_handlers:
                if handler.opt.get("permission"):
                    check = handler.resolve_before_request()
                    assert check is not None
                    ours = route.path.startswith("/v1")
                    assert check.__name__ == ("_authorize_and_refuse" if ours else "_authorize_and_note"), route.path


async def test_a_plus_that_is_read_as_a_blank_is_hinted_at(office: Office) -> None:
    task = await office.file_task()
    hint = "a + in a query means a blank: send %2B for a plus sign"
    for path in (
        f"/api/tasks/{task['id']}?as_of=2026-01-01T00:00:00+05:00",
        "/api/tasks?caller_phone=+49",
        "/v1/audit-trail?since=2026-01-01T00:00:00+05:00",
    ):
        response = await office.get(path, office.bearers[Role.AUDITOR])
        assert response.status_code == 422
        assert hint in response.text, response.text


@pytest.mark.parametrize("query", ["page=1.0", "per_page=1e1", "page=%D9%A1", "page=%2B1"])
async def test_an_integer_of_a_query_is_digits_and_nothing_else(office: Office, query: str) -> None:
    response = await office.get(f"/api/tasks?{query}")
    assert response.status_code == 422
    assert response.json()["detail"][0]["type"] == "int_parsing"


async def test_an_integer_of_a_path_is_digits_and_nothing_else(office: Office, service: Service) -> None:
    queue = int((await office.create_queue()).rpartition("/")[2])
    for path in (f"/v1/queues/{queue}.0/rules", f"{QUEUES}{queue}.0", f"{QUEUES}{queue}/task/1.0"):
        assert (await office.get(path, office.admin)).status_code in {404, 422}, path
    assert (await office.get(f"/v1/queues/{queue}/rules", office.admin)).status_code == 200
