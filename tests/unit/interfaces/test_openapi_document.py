"""The OpenAPI document describes each field, and generators of clients understand it."""

from collections.abc import Iterator
from typing import Any, get_args

import jsonschema_rs
import msgspec
import pytest

from application.policies.notify_webhooks import Handled
from domain.callback.events import CallbackCancelled
from interfaces.api.openapi.descriptions import DESCRIPTIONS
from interfaces.api.openapi.docs_page import openapi_document
from interfaces.api.openapi.webhooks import WEBHOOKS
from tests.unit.infrastructure.test_webhook_messages import AGAIN, DONE, JOINED, STARTED, body_of

DOCUMENT: dict[str, Any] = msgspec.json.decode(openapi_document())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
PROPERTIES = {
    f"{name}.{field}": part for name, schema in SCHEMAS.items() for field, part in schema.get("properties", {}).items()
}
PARAMETERS = {
    f"{operation['operationId']}.{parameter['name']}": parameter
    for item in DOCUMENT["paths"].values()
    for operation in item.values()
    for parameter in operation["parameters"]
}


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schema and each schema in it."""
    yield schema
    for key in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(key, ()):
            yield from parts(part)
    if "items" in schema:
        yield from parts(schema["items"])


def test_every_schema_field_and_parameter_is_described() -> None:
    assert [name for name, schema in SCHEMAS.items() if not schema.get("description")] == []
    assert [name for name, part in (PROPERTIES | PARAMETERS).items() if not part.get("description")] == []


def test_every_description_is_used() -> None:
    known = PROPERTIES.keys() | PARAMETERS.keys()
    assert DESCRIPTIONS.keys() - known - {name.partition(".")[2] for name in known} == set()


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_field_has_types_that_generators_know_and_no_default(name: str) -> None:
    assert "default" not in PROPERTIES[name]  # it would be required in generated clients
    assert PROPERTIES[name].get("type") != "null"
    for part in parts(PROPERTIES[name]):
        assert {"type", "$ref", "anyOf"} & part.keys() or part.keys() == {"description"}, part


def test_a_default_is_told_in_words() -> None:
    assert PROPERTIES["NewTaskBody.task_type"]["description"] == 'The kind of work. Default: "other".'
    assert "default" not in {field for field in SCHEMAS["NewTaskBody"] if field != "description"}
    assert SCHEMAS["NewTaskBody"]["required"] == ["operator_id", "title"]


def test_no_tag_has_two_kinds_of_operations() -> None:
    tags = [
        {tag for item in DOCUMENT[kind].values() for operation in item.values() for tag in operation["tags"]}
        for kind in ("paths", "webhooks")
    ]
    assert tags[0] & tags[1] == set()  # generators write a file for each tag and kind
    assert tags[0] | tags[1] == {tag["name"] for tag in DOCUMENT["tags"]}


def test_every_message_of_a_webhook_is_in_the_document() -> None:
    assert WEBHOOKS.keys() == set(get_args(Handled))


@pytest.mark.parametrize("fact", [STARTED, AGAIN, JOINED, DONE, CallbackCancelled()])
def test_a_message_has_the_schema_of_the_document(fact: Any) -> None:
    body = body_of(fact)
    operation = DOCUMENT["webhooks"][body["type"]]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(body)
    assert body["data"].keys() <= SCHEMAS["WebhookData"]["properties"].keys()
