"""The OpenAPI document, made of the routes themselves: their types, guards and options, so that it tells the truth.

The framework's own generator drops bounds of zero, lets query parameters be null, and promises a 400.
"""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from interfaces.api.openapi.examples import CALL_ID, CALLBACK_ID, EXAMPLES, QUEUE_ID, TASK_ID
from interfaces.api.openapi.schemas import answer_type, answers_many, body_type, parameters, reference, schemas
from interfaces.api.routes.call_history import CALL_UUID
from interfaces.api.routes.queue_bodies import NUMBER_MAX
from interfaces.api.web.error_responses import (
    ERROR_RESPONSES,
    QUEUE_CODES,
    ProblemDetails,
    QueuesError,
    QueuesFieldError,
    TasksError,
    TasksFieldError,
    TasksValidationError,
    phrase,
)
from interfaces.api.web.path_params import CLIENT_BASE_PATHS
from interfaces.api.web.preconditions import check_if_match

Json = dict[str, Any]

_TASKS = "/api/tasks"
_QUEUES = CLIENT_BASE_PATHS[0]
_INVALID = 422
_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer"}
_BY_EVERY_GUARDED = {401, 403, 429, 503}
_BY_EVERY_BODY = {408, 413, _INVALID}
_SAID = {status: text for status, _, text in ERROR_RESPONSES.values()} | {
    404: "Not found",
    409: "A task that is completed cannot become pending",
    413: phrase(413),
}

_WRITTEN: dict[str, Json] = {
    "Perezvon-Position": {"description": "Where a view shows this, or what the list shows.", "schema": _COUNT},
    "Idempotency-Replayed": {"description": "true when this is the first answer again.", "schema": _TEXT},
    "Link": {"description": "The next part of a list that goes on, as rel=next.", "schema": _TEXT},
}
_ANSWER_HEADERS: dict[str, dict[str, Json]] = {
    "TaskAnswer": {
        "ETag": {"description": "The version in quotes.", "schema": {**_TEXT, "pattern": '^"[0-9]+"$'}},
        "Perezvon-Position": {"description": "Where a view shows this.", "schema": _COUNT},
        "Idempotency-Replayed": {"description": "true when this is the first answer again.", "schema": _TEXT},
    },
    "TaskPageAnswer": {
        "Perezvon-Position": {"description": "The log position that the list shows.", "schema": _COUNT},
        "Perezvon-Total": {"description": "at-least when there are more than the total says.", "schema": _TEXT},
    },
    "QueueAnswer": _WRITTEN,
    "CallbackAnswer": _WRITTEN,
    "RulesAnswer": {"Perezvon-Position": _WRITTEN["Perezvon-Position"]},
    "QueueBoardAnswer": {
        "Perezvon-Position": {"description": "The log position that the counts show.", "schema": _COUNT}
    },
    "AuditTrailAnswer": {
        "Perezvon-Position": {"description": "The log position that the trail shows.", "schema": _COUNT}
    },
}
_RETRY_AFTER: Json = {"description": "Seconds.", "schema": _COUNT}
_REFUSAL_HEADERS: dict[int, dict[str, Json]] = {
    401: {"WWW-Authenticate": {"description": "Bearer", "schema": _TEXT}},
    429: {
        "Retry-After": _RETRY_AFTER,
        "X-RateLimit-Limit": {"description": "The burst.", "schema": _COUNT},
        "X-RateLimit-Remaining": {"description": "What is left of it.", "schema": _COUNT},
        "X-RateLimit-Reset": {"description": "Seconds until all of it is there again.", "schema": _COUNT},
    },
    503: {"Retry-After": _RETRY_AFTER},
}
_NAMED_BY_TASKS: dict[str, Json] = {"task_id": {**_TEXT, "format": "uuid", "examples": [TASK_ID]}}
_ID: Json = {"type": "integer", "minimum": 1, "maximum": NUMBER_MAX}
_NAMED_BY_QUEUES: dict[str, Json] = {
    "client_id": {**_TEXT, "pattern": "^(@me|[1-9][0-9]{0,17})$", "examples": ["@me"]},
    "scheduler_id": {**_ID, "examples": [QUEUE_ID]},
    "task_id": {**_ID, "examples": [CALLBACK_ID]},
    "call_uuid": {**_TEXT, "pattern": CALL_UUID, "examples": [CALL_ID]},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag that must stand; otherwise nothing is changed. `*` is any.",
    "schema": {**_TEXT, "pattern": r'^(\*|"[0-9]{1,18}")$', "examples": ["*", '"7"']},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag that the client has; if it stands, the answer is 304.",
    "schema": {**_TEXT, "examples": ['"7"']},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body gives the first answer again, for 24 hours.",
    "schema": {**_TEXT, "pattern": "^[!-~]{1,255}$", "examples": ["2f8f6f0e-5d0c-4f0e-9a44-0f1c64b1c9c5"]},
}


def document(routers: Sequence[Router]) -> Json:
    """Answer the document of all routes of the routers that are meant for it."""
    operations = list(_operations(routers))
    paths: dict[str, Json] = {}
    for path, method, handler in operations:
        paths.setdefault(path, {})[method] = _operation(path, method, handler)
    routes = [handler for _, _, handler in operations]
    types = [tp for handler in routes for tp in (body_type(handler), answer_type(handler)) if tp]
    statuses = {status for path, method, handler in operations for status in _statuses(path, method, handler)}
    refusals = {name: told for status in sorted(statuses) for name, told in _refusals(status)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "perezvon",
            "version": version("perezvon"),
            "description": "Tasks of a call centre. Every change is on record, and every task can be shown as it was.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "tasks", "description": "What calls left to be done."},
            {
                "name": "callbacks",
                "description": "Queues that call people back: A is rung, then B, and they are joined.",
            },
            {"name": "administration", "description": "An organisation's members, operators, tokens and settings."},
            {"name": "audit", "description": "Who did what, and how far the views have come."},
            {"name": "health", "description": "Whether the process lives and is ready."},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas([*types, TasksError, TasksValidationError, QueuesError, ProblemDetails], routes),
            "responses": refusals,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "pz_<id>_<secret>"}},
        },
    }


def _operations(routers: Sequence[Router]) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in (route for router in routers for route in router.routes if isinstance(route, HTTPRoute)):
        for handler in route.route_handlers:
            if handler.resolve_include_in_schema():
                yield from ((route.path_format, method.lower(), handler) for method in sorted(handler.http_methods))


def _operation(path: str, method: str, handler: HTTPRouteHandler) -> Json:
    operation: Json = {
        "operationId": handler.operation_id,
        "summary": handler.summary,
        "description": handler.fn.__doc__,
        "tags": sorted(handler.resolve_tags()),
        "parameters": [*_parameters(path, handler), *_headers(path, method, handler)],
        "responses": _responses(path, method, handler),
        "security": _security(handler),
    }
    if body := body_type(handler):
        operation["requestBody"] = {"required": True, "content": _content(body)}
    return operation


def _parameters(path: str, handler: HTTPRouteHandler) -> Iterator[Json]:
    named = _NAMED_BY_QUEUES if path.startswith(_QUEUES) else _NAMED_BY_TASKS
    for name, schema in named.items():
        if f"{{{name}}}" in path:
            yield {"name": name, "in": "path", "required": True, "schema": schema}
    yield from parameters(handler)


def _headers(path: str, method: str, handler: HTTPRouteHandler) -> Iterator[Json]:
    if check_if_match in handler.opt.get("checks", ()):
        yield _IF_MATCH
    if method == "post" and path.startswith((_TASKS, _QUEUES)):
        yield _IDEMPOTENCY_KEY
    if handler.opt.get("may_be_unmodified"):
        yield _IF_NONE_MATCH


def _security(handler: HTTPRouteHandler) -> list[dict[str, list[str]]]:
    if "permission" not in handler.opt:
        return []
    return [{}, {"token": []}] if handler.opt.get("open") else [{"token": []}]


def _responses(path: str, method: str, handler: HTTPRouteHandler) -> Json:
    kind = "Refusal" if path.startswith(_TASKS) else "QueueRefusal" if path.startswith(_QUEUES) else "Problem"
    found: Json = {str(handler.status_code): _answer(answer_type(handler), many=answers_many(handler))}
    for status in sorted(_statuses(path, method, handler)):
        found[str(status)] = {"$ref": f"#/components/responses/{kind}{status}"}
    for status, description in handler.opt.get("also", {}).items():
        found[str(status)] = {**_answer(answer_type(handler)), "description": description}
    if handler.opt.get("may_be_unmodified"):
        found["304"] = {"description": "The client has this version already."}
    return found


def _statuses(path: str, method: str, handler: HTTPRouteHandler) -> set[int]:
    statuses = set[int](handler.opt.get("refusals", ()))
    if "permission" in handler.opt:
        statuses |= _BY_EVERY_GUARDED
    if body_type(handler):
        statuses |= _BY_EVERY_BODY | (set() if path.startswith(_TASKS) else {415})
    if method == "post" or list(parameters(handler)):
        statuses.add(_INVALID)
    return statuses


def _answer(tp: type[msgspec.Struct] | None, *, many: bool = False) -> Json:
    if tp is None:
        return {"description": "Done."}
    summary = (tp.__doc__ or "").partition("\n")[0]
    headers = _ANSWER_HEADERS.get(tp.__name__, {})
    return {"description": summary, "headers": headers, "content": _content(tp, many=many)}


def _refusals(status: int) -> Iterator[tuple[str, Json]]:
    """Answer the refusal in each dialect, with its name."""
    common = {"description": phrase(status), "headers": _REFUSAL_HEADERS.get(status, {})}
    problem = ProblemDetails(
        type="about:blank",
        title=phrase(status),
        status=status,
        detail=_SAID[status],
        instance="/v1/…",
        code="…",
        request_id="…",
    )
    yield f"Problem{status}", {**common, "content": _content(ProblemDetails, problem, "application/problem+json")}
    fault = QueuesFieldError(field="tasks[3].a_number", message="Expected a phone number")
    refusal = QueuesError(
        message=_SAID[status], status=_queue_code(status), errors=[fault] if status == _INVALID else []
    )
    yield f"QueueRefusal{status}", {**common, "content": _content(QueuesError, refusal)}
    fault = TasksFieldError(loc=["body", "title"], msg="Field required", type="missing")
    refusal = TasksValidationError(detail=[fault]) if status == _INVALID else TasksError(detail=_SAID[status])
    yield f"Refusal{status}", {**common, "content": _content(type(refusal), refusal)}


def _queue_code(status: int) -> str:
    code = next((code for known, code, _ in ERROR_RESPONSES.values() if known == status), phrase(status))
    return QUEUE_CODES.get(code, code)


def _content(
    tp: type[msgspec.Struct],
    example: msgspec.Struct | None = None,
    media_type: str = "application/json",
    *,
    many: bool = False,
) -> Json:
    schema: Json = {"type": "array", "items": reference(tp)} if many else reference(tp)
    told = example or EXAMPLES.get(tp)
    shown = msgspec.to_builtins([told] if many else told) if told else None
    return {media_type: {"schema": schema, **({"example": shown} if shown else {})}}
