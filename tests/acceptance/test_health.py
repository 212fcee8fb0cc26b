"""Liveness, readiness, and the metrics of requests."""

import asyncio

import psycopg
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infrastructure.operations.subscribers import HANDLERS
from infrastructure.postgres.connections import service_dsn
from interfaces.bootstrap.services import services
from interfaces.config.settings import Settings
from tests.support.databases import DatabaseServer
from tests.support.office import Office, Service, served
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio


async def test_a_service_whose_views_keep_up_is_ready(service: Service, office: Office) -> None:
    await office.file_task()

    async def read_after_writes() -> bool:
        response = await office.client.get("/health/ready")
        return response.status_code == 200 and all(view["events"] == 0 for view in response.json()["views"])

    await eventually_async(read_after_writes)
    body = (await office.client.get("/health/ready")).json()
    assert (body["status"], body["reasons"]) == ("ready", [])
    assert [view["name"] for view in body["views"]] == sorted(HANDLERS)


async def test_without_a_worker_tasks_are_still_filed_and_readiness_says_what_is_missing(database: str) -> None:
    async with (
        services(service_dsn(database)) as opened,
        served(opened, database, Settings(rate_limits=False, ready_lag_seconds=0.0)) as service,
    ):
        office = await service.office()
        assert (await office.post_task()).status_code == 200
        response = await office.client.get("/health/ready")
        assert response.status_code == 503
        assert response.json()["status"] == "not ready"
        assert all("check that a worker runs" in reason for reason in response.json()["reasons"])
        assert {view["name"] for view in response.json()["views"]} == set(HANDLERS)
        assert (await office.get("/api/tasks")).json()["total"] == 0


async def test_readiness_names_the_remedy_and_shows_no_text_of_the_database(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("REVOKE USAGE ON SCHEMA perezvon_1 FROM perezvon_app")
    async with services(service_dsn(database)) as opened, served(opened, database) as service:
        response = await service.client.get("/health/ready")
    assert response.status_code == 503
    assert "run `perezvon migrate`" in response.text
    assert "permission denied" not in response.text
    assert "perezvon_1" not in response.text


async def test_without_its_database_the_service_says_so_everywhere_and_comes_back_by_itself(
    server: DatabaseServer, database: str
) -> None:
    name = database.partition("dbname=")[2].split()[0]
    async with services(service_dsn(database)) as opened, served(opened, database) as service:
        office = await service.office()
        task = await office.file_task()
        server.admin.execute(f"alter database {name} allow_connections false".encode())
        server.admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        calls = {
            "/api/tasks": office.client.post("/api/tasks", json={"operator_id": office.operator_id, "title": "x"}),
            "/api/tasks/{task_id}": office.get(f"/api/tasks/{task['id']}"),
            "/v1/organization": office.get("/v1/organization", office.admin),
        }
        responses = dict(zip(calls, await asyncio.gather(*calls.values()), strict=True))
        live, ready = [await office.client.get(f"/health/{what}") for what in ("live", "ready")]
        server.admin.execute(f"alter database {name} allow_connections true".encode())
        assert {path: response.status_code for path, response in responses.items()} == dict.fromkeys(calls, 503)
        assert {response.headers["Retry-After"] for response in responses.values()} == {"1"}
        assert responses["/api/tasks"].json() == {
            "detail": "The service is temporarily unavailable; try again in a second"
        }
        assert responses["/v1/organization"].json()["code"] == "storage_away"
        assert (live.status_code, live.json()) == (200, {"status": "live"})
        assert (ready.status_code, ready.json()["reasons"]) == (503, ["database unavailable"])

        async def back() -> bool:
            again = await office.get(f"/api/tasks/{task['id']}"), await office.post_task()
            return [response.status_code for response in again] == [200, 200]

        await eventually_async(back, timeout=30)


async def test_a_draining_process_is_not_ready(service: Service) -> None:
    async with served(service.services, service.dsn) as draining:
        draining.app.state.api.draining = True
        response = await draining.client.get("/health/ready")
    assert (response.status_code, response.json()["reasons"]) == (503, ["draining"])


async def test_the_port_of_the_api_shows_no_metrics(office: Office) -> None:
    assert (await office.client.get("/metrics")).status_code == 404


async def test_metrics_count_requests_by_route_and_what_the_log_did(office: Office) -> None:
    def counted(name: str, **labels: str) -> float:
        text = generate_latest().decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())

    route = {"method": "GET", "route": "/api/tasks/{task_id}"}
    before = counted("perezvon_http_requests_total", **route, status="404")
    appended = counted("perezvon_log_commands_total", verdict="appended")
    batches = counted("perezvon_log_batch_commands_count")
    await office.get("/api/tasks/nonsense")
    await office.client.request("BREW", "/coffee/" + "x" * 50)
    await office.file_task()
    assert counted("perezvon_http_requests_total", **route, status="404") == before + 1
    assert counted("perezvon_http_request_seconds_count", **route) > 0
    assert counted("perezvon_http_requests_total", route="unrouted", method="other") > 0
    assert counted("perezvon_log_commands_total", verdict="appended") > appended
    assert counted("perezvon_log_batch_commands_count") > batches
    assert "coffee" not in generate_latest().decode()
