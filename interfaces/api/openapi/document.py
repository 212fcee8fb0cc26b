"""The OpenAPI document, built from the handlers themselves: their types and options, so that it matches the API.

The framework's own generator drops bounds of zero, allows null for query parameters, and documents a 400 that never occurs.
"""

from collections.abc import Iterator, Sequence
from importlib.metadata import version

import msgspec
from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from application.errors import PreconditionFailed, StorageUnavailable
from interfaces.api.openapi.descriptions import DESCRIPTIONS
from interfaces.api.openapi.examples import CALL_ID, CALLBACK_ID, EXAMPLES, QUEUE_ID, TASK_ID
from interfaces.api.openapi.headers import ERROR_HEADERS, RESPONSE_HEADERS, SHARED_HEADERS, Json, shared_headers
from interfaces.api.openapi.schemas import body_type, parameters, reference, response_type, returns_list, schemas
from interfaces.api.openapi.webhooks import webhook_schemas, webhooks
from interfaces.api.routes.call_history import CALL_UUID
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
from interfaces.api.web.field_types import NUMBER_MAX
from interfaces.api.web.path_params import CLIENT_BASE_PATHS
from interfaces.api.web.preconditions import check_if_match
from interfaces.api.web.times import encode_time

_TASKS = "/api/tasks"
_QUEUES = CLIENT_BASE_PATHS[0]
_INVALID = 422
_TASKS_KIND, _QUEUES_KIND, _PROBLEM_KIND = "TasksError", "QueuesError", "Problem"
_TEXT: Json = {"type": "string"}
_ERRORS_OF_AUTHORIZED = {401, 403, 429, 503}
_ERRORS_OF_BODIES = {408, 413, _INVALID}
_EXAMPLE_DETAILS = {status: text for status, _, text in ERROR_RESPONSES.values()} | {
    404: "Not found",
    409: "A task that is completed cannot become pending",
    412: str(PreconditionFailed(7)),
    413: phrase(413),
    503: ERROR_RESPONSES[StorageUnavailable][2],
}
_TASK_PATH_PARAMS: dict[str, Json] = {"task_id": {**_TEXT, "format": "uuid", "examples": [TASK_ID]}}
_ID: Json = {"type": "integer", "minimum": 1, "maximum": NUMBER_MAX}
_CLIENT_PATH_PARAMS: dict[str, Json] = {
    "client_id": {**_TEXT, "pattern": "^(@me|[1-9][0-9]{0,17})$", "examples": ["@me"]},
    "scheduler_id": {**_ID, "examples": [QUEUE_ID]},
    "task_id": {**_ID, "examples": [CALLBACK_ID]},
    "call_uuid": {**_TEXT, "pattern": CALL_UUID, "examples": [CALL_ID]},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag that the task must have; otherwise 412 and no change. `*` matches any.",
    "schema": {**_TEXT, "pattern": r'^(\*|"[0-9]{1,18}")$', "examples": ["*", '"7"']},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag that the client has. If it is the current one, the response is 304.",
    "schema": {**_TEXT, "examples": ['"7"']},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "For 24 hours, the same key with the same request returns the first response again.",
    "schema": {**_TEXT, "pattern": "^[!-~]{1,255}$", "examples": ["2f8f6f0e-5d0c-4f0e-9a44-0f1c64b1c9c5"]},
}


def document(routers: Sequence[Router], prefix: str = "") -> Json:
    """Return the OpenAPI document of all documented handlers of the routers, which are served under the path ``prefix``."""
    operations = list(_operations(routers))
    paths: dict[str, Json] = {}
    for path, method, handler in operations:
        paths.setdefault(path, {})[method] = _operation(path, method, handler)
    routes = [handler for _, _, handler in operations]
    types = [tp for handler in routes for tp in (body_type(handler), response_type(handler)) if tp]
    statuses = {status for path, method, handler in operations for status in _statuses(path, method, handler)}
    error_responses = {name: response for status in sorted(statuses) for name, response in _error_responses(status)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "perezvon",
            "version": version("perezvon"),
            "description": "Tasks and callbacks of a call centre. Every change is recorded, and a task can be read in any of its earlier states.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": prefix or "/"}],
        "tags": [
            {"name": "tasks", "description": "Tasks that calls left to do."},
            {
                "name": "callbacks",
                "description": "Queues of callbacks: A is called, then B, and the two are connected.",
            },
            {"name": "administration", "description": "An organisation's members, operators, tokens and settings."},
            {"name": "webhooks", "description": "Deliveries of webhooks, and the secret that signs them."},
            {
                "name": "notifications",
                "description": "The messages of webhooks, which the URLs of a callback receive.",
            },
            {"name": "audit", "description": "Audit trail, and lag of views and policies."},
            {"name": "health", "description": "Liveness and readiness of the process."},
        ],
        "paths": paths,
        "webhooks": webhooks(),
        "components": {
            "schemas": {
                **schemas([*types, TasksError, TasksValidationError, QueuesError, ProblemDetails], routes),
                **webhook_schemas(),
            },
            "responses": error_responses,
            "headers": SHARED_HEADERS,
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
    named = _CLIENT_PATH_PARAMS if path.startswith(_QUEUES) else _TASK_PATH_PARAMS
    for name, schema in named.items():
        if f"{{{name}}}" in path:
            yield {"name": name, "in": "path", "required": True, "schema": schema, "description": DESCRIPTIONS[name]}
    yield from parameters(handler)


def _headers(path: str, method: str, handler: HTTPRouteHandler) -> Iterator[Json]:
    if check_if_match in handler.opt.get("checks", ()):
        yield _IF_MATCH
    if method == "post" and path.startswith((_TASKS, _QUEUES)):
        yield _IDEMPOTENCY_KEY
    if handler.opt.get("not_modified"):
        yield _IF_NONE_MATCH


def _security(handler: HTTPRouteHandler) -> list[dict[str, list[str]]]:
    if "permission" not in handler.opt:
        return []
    return [{}, {"token": []}] if handler.opt.get("token_optional") else [{"token": []}]


def _responses(path: str, method: str, handler: HTTPRouteHandler) -> Json:
    kind = _error_kind(path)
    success = _success(path, handler)
    found: Json = {str(handler.status_code): success}
    for status in sorted(_statuses(path, method, handler)):
        found[str(status)] = {"$ref": f"#/components/responses/{kind}{status}"}
    for status, description in handler.opt.get("other_responses", {}).items():
        found[str(status)] = {**success, "description": description}
    if handler.opt.get("not_modified"):
        found["304"] = {"description": "The client already has this version.", "headers": _shared_headers(kind)}
    return found


def _statuses(path: str, method: str, handler: HTTPRouteHandler) -> set[int]:
    statuses = set[int](handler.opt.get("errors", ()))
    if "permission" in handler.opt:
        statuses |= _ERRORS_OF_AUTHORIZED
        if _error_kind(path) == _PROBLEM_KIND:
            statuses.add(_INVALID)  # for query parameters that are unknown
    if body_type(handler):
        statuses |= _ERRORS_OF_BODIES | (set() if path.startswith(_TASKS) else {415})
    if method == "post" or list(parameters(handler)):
        statuses.add(_INVALID)
    return statuses


def _success(path: str, handler: HTTPRouteHandler) -> Json:
    own = {name: RESPONSE_HEADERS[name] for name in handler.opt.get("response_headers", ())}
    headers = own | _shared_headers(_error_kind(path), is_counted="permission" in handler.opt)
    tp = response_type(handler)
    if tp is None:
        return {"description": "No content.", "headers": headers}
    summary = (tp.__doc__ or "").partition("\n")[0]
    return {"description": summary, "headers": headers, "content": _content(tp, is_list=returns_list(handler))}


def _error_kind(path: str) -> str:
    return _TASKS_KIND if path.startswith(_TASKS) else _QUEUES_KIND if path.startswith(_QUEUES) else _PROBLEM_KIND


def _shared_headers(kind: str, *, is_counted: bool = True) -> dict[str, Json]:
    return shared_headers(ignores_params=kind != _PROBLEM_KIND, is_counted=is_counted)


def _error_responses(status: int) -> Iterator[tuple[str, Json]]:
    """Yield name and response of a status in each error format."""

    def common(kind: str) -> Json:
        return {"description": phrase(status), "headers": ERROR_HEADERS.get(status, {}) | _shared_headers(kind)}

    problem = ProblemDetails(
        type="about:blank",
        title=phrase(status),
        status=status,
        detail=_EXAMPLE_DETAILS[status],
        instance="/v1/…",
        code="…",
        request_id="…",
    )
    yield (
        f"{_PROBLEM_KIND}{status}",
        {**common(_PROBLEM_KIND), "content": _content(ProblemDetails, problem, "application/problem+json")},
    )
    field_error = QueuesFieldError(
        field="tasks[3].a_number", message="Expected a phone number with at least two digits"
    )
    error = QueuesError(
        message=_EXAMPLE_DETAILS[status], status=_queue_code(status), errors=[field_error] if status == _INVALID else []
    )
    yield f"{_QUEUES_KIND}{status}", {**common(_QUEUES_KIND), "content": _content(QueuesError, error)}
    field_error = TasksFieldError(loc=["body", "title"], msg="Field required", type="missing")
    error = (
        TasksValidationError(detail=[field_error])
        if status == _INVALID
        else TasksError(detail=_EXAMPLE_DETAILS[status])
    )
    yield f"{_TASKS_KIND}{status}", {**common(_TASKS_KIND), "content": _content(type(error), error)}


def _queue_code(status: int) -> str:
    code = next((code for known, code, _ in ERROR_RESPONSES.values() if known == status), phrase(status))
    return QUEUE_CODES.get(code, code)


def _content(
    tp: type[msgspec.Struct],
    example: msgspec.Struct | None = None,
    media_type: str = "application/json",
    *,
    is_list: bool = False,
) -> Json:
    schema: Json = {"type": "array", "items": reference(tp)} if is_list else reference(tp)
    example = example or EXAMPLES.get(tp)
    value = msgspec.to_builtins([example] if is_list else example, enc_hook=encode_time) if example else None
    return {media_type: {"schema": schema, **({"example": value} if value else {})}}
