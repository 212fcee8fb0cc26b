"""The OpenAPI document matches the API: schemathesis sends requests that it allows and that it forbids, in this process.

``PEREZVON_TEST_SCHEMATHESIS_EXAMPLES`` sets the number of examples; the default is small.
"""

import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, cast

import hypothesis
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.schemas import APIOperation

from domain.callback.events import AttemptStarted
from domain.permissions import Role
from interfaces.api.openapi.docs_page import openapi_document
from interfaces.api.openapi.examples import CALL_ID
from tests.support.databases import DatabaseServer
from tests.support.office import QUEUES, Office, Service, service_with_worker
from tests.support.webhooks import enqueue_all, message

EXAMPLES = int(os.environ.get("PEREZVON_TEST_SCHEMATHESIS_EXAMPLES", "6"))
DOCUMENT: dict[str, Any] = msgspec.json.decode(openapi_document())
LABELS = sorted(f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item)
UNHURRIED = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
# Conditions that no schema can express: a phone number exists, a key is new, a version is current.
BEYOND_SCHEMAS = ["2xx", "3xx", "401", "403", "404", "409", "412", "422", "429"]
REJECTIONS = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428", "429"]


class Application:
    """The API as schemathesis runs it, in its own event loop: everything is opened when its lifespan starts."""

    def __init__(self, dsn: str) -> None:
        """Serve the database, with a new organisation and objects in it that requests can name."""
        self.dsn = dsn
        self.office: Office
        self.task_id = self.failed_task_id = ""
        self.queues: list[int] = []
        self.callbacks: list[int] = []
        self.operators: list[int] = []
        self.members: list[str] = []
        self.delivery_id = ""
        self._service: Service

    def ids(self, label: str) -> dict[str, Any]:
        """Return path parameters that name existing objects for the operation."""
        known = {
            "task_id": self.failed_task_id if label.endswith("reprocess") else self.task_id,
            "operator_number": self.operators[label.startswith("DELETE")],
            "member_id": self.members[label.startswith("DELETE")],
            "delivery_id": self.delivery_id,
            "queue_id": self.queues[0],
            "token_id": self.office.bearers[Role.OPERATOR]["Authorization"].split("_")[1],
        }
        if "{client_id}" in label:
            deleting = label.startswith("DELETE")
            known |= {"client_id": "@me", "task_id": self.callbacks[deleting], "call_uuid": CALL_ID}
            known["scheduler_id"] = self.queues[deleting and label.endswith("{scheduler_id}")]
        return {name: value for name, value in known.items() if f"{{{name}}}" in label}

    async def _fill_queues(self) -> None:
        """Create two queues, one to be deleted; in the first, a callback with a call, and a callback to be deleted."""
        self.queues = [(await self.office.post_queue()).json()["id"] for _ in range(2)]
        callbacks = await self.office.schedule_callbacks(f"{QUEUES}{self.queues[0]}", {}, {})
        self.callbacks = [callback["id"] for callback in callbacks]
        await self.office.record_facts(callbacks[0], AttemptStarted(attempt=1, call_id=CALL_ID))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._service.app(scope, receive, send)
            return
        async with AsyncExitStack() as stack:
            await receive()
            self._service = await stack.enter_async_context(service_with_worker(self.dsn))
            self.office = await self._service.office()
            self.task_id = (await self.office.file_task())["id"]
            self.failed_task_id = (await self.office.task_in_status("failed"))["id"]
            await self._fill_queues()
            await self.office.change_settings(caller_id="1001")
            told = message("https://example.com/after", organization_id=self.office.organization_id)
            await enqueue_all(self.dsn, [told])
            self.delivery_id = told.id
            for name in ("to be renewed", "to be removed"):
                added = await self.office.client.post("/v1/operators", json={"name": name}, headers=self.office.admin)
                self.operators.append(added.json()["id"])
                member = await self.office.client.post("/v1/members", json={"name": "М"}, headers=self.office.admin)
                self.members.append(member.json()["id"])
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


@pytest.fixture(scope="module")
def application(server: DatabaseServer, template: str) -> Iterator[Application]:
    """Yield the running application."""
    name = f"{template}_openapi"
    found = Application(server.create(name, template=template))
    schemathesis.openapi.from_asgi("/openapi.json", found)
    yield found
    shutdown_lifespans()
    server.drop(name)


AnyCase = schemathesis.Case[Any]
Operations = dict[str, APIOperation[Any, Any, Any, Any]]


@pytest.fixture(scope="module")
def operations(application: Application) -> Operations:
    """Return the operations by label, with fixed values for fields whose rules no schema can express."""
    office = application.office
    config = SchemathesisConfig.from_dict(
        {
            "checks": {
                "positive_data_acceptance": {"expected-statuses": BEYOND_SCHEMAS},
                "negative_data_rejection": {"expected-statuses": REJECTIONS},
            },
            "parameters": {
                "body.operator_id": office.operator_id,
                "body.member_id": office.member_id,
                "body.caller_phone": "+77011234567",
                "body.number": "1001",
                "body.caller_id": "1001",
                "body.region": "KZ",
                "body.timezone": "Asia/Almaty",
            },
        }
    )
    schema = schemathesis.openapi.from_asgi("/openapi.json", application, config=config)

    @schema.auth()
    class Token:
        """The admin's token. A header set by the test would be sent even where a case omits it."""

        def get(self, _case: AnyCase, _context: schemathesis.AuthContext) -> str:
            return office.admin["Authorization"]

        def set(self, case: AnyCase, data: str, _context: schemathesis.AuthContext) -> None:
            cast("Any", case).headers = {**(case.headers or {}), "Authorization": data}

    found = (cast("Ok[Any]", operation).ok() for operation in schema.get_all_operations())
    return {operation.label: operation for operation in found}


# The application's pools draw jitter in their own threads, even while a strategy draws here.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_answer_breaks_what_the_document_promises(
    application: Application, operations: Operations, label: str, mode: GenerationMode
) -> None:
    operation, statuses = operations[label], set[int]()
    right: Any = {"headers": {"If-Match": "*"}} if mode.is_positive and "/api/tasks/{" in label else {}
    cases = operation.as_strategy(
        generation_mode=mode,
        auth_storage=operation.schema.auth,
        path_parameters=application.ids(label),
        **right,
    )

    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=UNHURRIED)
    @hypothesis.given(case=cases)
    def holds(case: AnyCase) -> None:
        statuses.add(case.call_and_validate().status_code)

    try:
        holds()
    except Unsatisfiable:
        assert mode.is_negative  # an operation without parameters has no invalid request
        assert not [*operation.query, *operation.body, *operation.headers]
    if mode.is_positive:
        assert statuses & {200, 201, 202, 204}, "the operation was never carried out"


@pytest.mark.parametrize("label", LABELS)
def test_every_operation_has_summary_tag_security_and_unique_id(label: str) -> None:
    method, _, path = label.partition(" ")
    operation = DOCUMENT["paths"][path][method.lower()]
    assert operation["summary"]
    assert operation["tags"]
    assert bool(operation["security"]) == (not path.startswith("/health"))
    ids = [found["operationId"] for item in DOCUMENT["paths"].values() for found in item.values()]
    assert ids.count(operation["operationId"]) == 1


def test_contract_1_is_in_the_document_with_its_refusals() -> None:
    filing = DOCUMENT["paths"]["/api/tasks"]["post"]
    assert set(filing["responses"]) == {"200", "401", "403", "408", "409", "412", "413", "422", "429", "503"}
    assert filing["security"] == [{}, {"token": []}]
    changing = DOCUMENT["paths"]["/api/tasks/{task_id}/status"]["put"]
    assert {"404", "409", "412"} <= set(changing["responses"])
    assert "If-Match" in {parameter["name"] for parameter in changing["parameters"]}
    asking = {parameter["name"]: parameter for parameter in DOCUMENT["paths"]["/api/tasks"]["get"]["parameters"]}
    assert asking["per_page"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    assert asking["Perezvon-Position"]["in"] == "header"
    assert {"ETag", "Perezvon-Position"} <= set(filing["responses"]["200"]["headers"])


def test_contract_2_is_in_the_document_once_with_its_refusals() -> None:
    queues = [path for path in DOCUMENT["paths"] if "task_scheduler" in path]
    assert len(queues) == 5
    assert all(path.startswith("/api/ver1.0/client/{client_id}/") for path in queues)
    scheduling = DOCUMENT["paths"][f"{queues[0]}/{{scheduler_id}}/task"]["post"]
    assert set(scheduling["responses"]) == {
        "201", "401", "403", "404", "408", "409", "413", "415", "422", "429", "503",
    }  # fmt: skip
    assert scheduling["responses"]["422"] == {"$ref": "#/components/responses/QueuesError422"}
    assert scheduling["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/NewCallbacksBody")
    answered = scheduling["responses"]["201"]["content"]["application/json"]["schema"]
    assert answered == {"type": "array", "items": {"$ref": "#/components/schemas/CallbackResponse"}}
    assert "Idempotency-Key" in {parameter["name"] for parameter in scheduling["parameters"]}
    assert set(DOCUMENT["paths"][f"{queues[0]}/{{scheduler_id}}"]) == {"get", "put", "delete"}


def test_examples_are_there_and_are_of_their_schemas() -> None:
    task = DOCUMENT["paths"]["/api/tasks"]["post"]["responses"]["200"]["content"]["application/json"]["example"]
    assert task.keys() == DOCUMENT["components"]["schemas"]["TaskResponse"]["properties"].keys()
    refused = DOCUMENT["components"]["responses"]["TasksError422"]["content"]["application/json"]
    assert refused["example"] == {"detail": [{"loc": ["body", "title"], "msg": "Field required", "type": "missing"}]}


def test_our_own_bodies_forbid_what_they_do_not_know_and_contract_1_does_not() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    closed = {name for name, schema in schemas.items() if schema.get("additionalProperties") is False}
    assert closed == {
        "SettingsBody", "QueueRulesBody", "ChosenOutcomes", "ChosenPolicy", "ChosenRule", "NewMemberBody", "MemberRoleBody",
        "NewOperatorBody", "NewTokenBody", "RotateSecretBody",
    }  # fmt: skip
