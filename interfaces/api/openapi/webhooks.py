"""The webhooks of the OpenAPI document: the messages that the URLs of a callback receive (``docs/webhooks.md``)."""

from typing import Any

import msgspec

from application.policies.notify_webhooks import CallbackData, MessageBody
from domain.callback.events import AttemptStarted, AttemptSucceeded, CallbackCancelled, CallbackFinished
from domain.model import Fact
from interfaces.api.openapi.schemas import complete_types, describe

Json = dict[str, Any]

WEBHOOKS: dict[type[Fact], tuple[str, str]] = {
    AttemptStarted: ("An attempt has started", "Sent to `url_before`, for later attempts to `url_before_again`."),
    AttemptSucceeded: ("A and B are connected", "Sent to `url_success`."),
    CallbackFinished: ("The callback has ended", "Sent to `url_after`."),
    CallbackCancelled: ("The callback was deleted before it ended", "Sent to `url_after`."),
}
"""Summary and description of the message about each fact."""

_NAMES = {MessageBody.__name__: "WebhookMessage", CallbackData.__name__: "WebhookData"}
_HEADERS = {
    "webhook-id": "Message id, the same in every attempt.",
    "webhook-timestamp": "Time of the attempt, in seconds since 1970.",
    "webhook-signature": "Signatures of id, timestamp and body as in Standard Webhooks, separated by blanks.",
    "webhook-attempt": "Number of the attempt, from 1.",
}


def webhooks() -> Json:
    """Return the webhooks by the type of their message."""
    return {str(fact.__struct_config__.tag): {"post": _operation(fact)} for fact in WEBHOOKS}


def webhook_schemas() -> Json:
    """Return the schemas of the messages by name. The words of a status are inside the field that has it."""
    _, found = msgspec.json.schema_components([MessageBody], ref_template="{name}")
    schemas = {_NAMES[name]: schema for name, schema in found.items() if name in _NAMES}
    for name, schema in schemas.items():
        for part in schema["properties"].values():
            if used := part.pop("$ref", None):
                renamed = _NAMES.get(used)
                part.update({"$ref": f"#/components/schemas/{renamed}"} if renamed else _plain(found[used]))
        describe(name, schema)
        complete_types(schema)
    return schemas


def _plain(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key not in {"title", "description"}}


def _operation(fact: type[Fact]) -> Json:
    summary, description = WEBHOOKS[fact]
    return {
        "operationId": f"receive{fact.__name__}",
        "summary": summary,
        "description": f"{description} Verify the signature before anything else; docs/webhooks.md describes all rules.",
        "tags": ["notifications"],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/WebhookMessage"}}},
        },
        "responses": {
            "2XX": {"description": "Delivered."},
            "410": {"description": "Nothing more is sent to this URL for this callback."},
            "default": {"description": "The message is sent again later."},
        },
    }
