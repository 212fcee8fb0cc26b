"""Errors as answers: the status of each, and the dialect that a part of the API tells it in."""

from collections.abc import Callable
from http import HTTPStatus
from math import ceil
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import quote

import msgspec
import structlog
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException

from application.errors import (
    CallbackNotFound,
    CallNotFound,
    ConcurrentUpdate,
    IdempotencyKeyTaken,
    InvalidFields,
    KeyReused,
    NotFound,
    PreconditionFailed,
    QueueNotFound,
    SecretUnreadable,
    StorageUnavailable,
)
from application.tasks import IntakeClosed
from domain.errors import AlreadyDeleted, IllegalTransition, InvalidField, NotWaiting, UnknownOperator, UnknownToken
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.request_errors import (
    ClientDisconnected,
    ClientNotFound,
    FieldError,
    Forbidden,
    InvalidRequest,
    Loc,
    RequestTimeout,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
    to_field_error,
)

_log = structlog.get_logger("perezvon.api")

ERROR_RESPONSES: dict[type[Exception], tuple[int, str, str]] = {
    IllegalTransition: (409, "illegal_transition", ""),
    NotWaiting: (409, "not_waiting", ""),
    AlreadyDeleted: (404, "not_found", "Not found"),
    InvalidField: (422, "invalid", "Validation failed"),
    InvalidFields: (422, "invalid", "Validation failed"),
    UnknownToken: (404, "not_found", "Token not found"),
    UnknownOperator: (404, "not_found", "Operator not found"),
    QueueNotFound: (404, "not_found", "Queue not found"),
    CallbackNotFound: (404, "not_found", "Callback not found"),
    CallNotFound: (404, "not_found", "Call not found"),
    ClientNotFound: (404, "client_not_found", "Client not found"),
    NotFound: (404, "not_found", "Not found"),
    ConcurrentUpdate: (409, "concurrent_update", "Somebody else is changing this just now; try again"),
    IdempotencyKeyTaken: (
        409,
        "concurrent_update",
        "The same Idempotency-Key is being carried out just now; try again",
    ),
    PreconditionFailed: (412, "precondition_failed", "If-Match is not the version that stands"),
    KeyReused: (422, "idempotency_key_reused", "Validation failed"),
    StorageUnavailable: (503, "storage_away", "Not available just now; try again shortly"),
    SecretUnreadable: (503, "secret_unreadable", "Secrets cannot be read: their key, PEREZVON_SECRETS_KEY, is another"),
    IntakeClosed: (401, "intake_closed", "This organisation files tasks with a token only"),
    InvalidRequest: (422, "invalid", "Validation failed"),
    UnsupportedMediaType: (415, "unsupported_media_type", "Send application/json"),
    RequestTimeout: (408, "request_timeout", "The body did not come in time"),
    ClientDisconnected: (400, "client_gone", "The body is not complete"),
    Unauthenticated: (401, "unauthenticated", "Send a valid token as Authorization: Bearer"),
    Forbidden: (403, "forbidden", "The token's role does not allow this"),
    TooManyRequests: (429, "too_many_requests", "Too many requests"),
}
"""Status, code and text of each error; a subclass is answered as its nearest ancestor. Without a text, its own."""


_FRAMEWORK_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
QUEUE_CODES = {
    "forbidden": "access_denied",
    "invalid": "validation_error",
    "idempotency_key_reused": "validation_error",
    "too_many_requests": "rate_limit_exceeded",
}
"""What contract 2 calls an error that has a name of its own there."""

_PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}  # Python 3.13 renamed these


def phrase(status: int) -> str:
    """Answer the reason phrase of a status (RFC 9110)."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


class ApiError(NamedTuple):
    """An error, ready to be told in any dialect."""

    status: int
    code: str
    text: str
    faults: list[FieldError]
    headers: dict[str, str]


class TasksFieldError(msgspec.Struct, frozen=True, kw_only=True):
    """A bad part of a request: where it is, why it cannot be taken, and a stable word for that."""

    loc: list[str | int]
    msg: str
    type: str


class TasksError(msgspec.Struct, frozen=True, kw_only=True):
    """Why the request is refused."""

    detail: str


class TasksValidationError(msgspec.Struct, frozen=True, kw_only=True):
    """Every part of the request that cannot be taken."""

    detail: list[TasksFieldError]


class QueuesFieldError(msgspec.Struct, frozen=True, kw_only=True):
    """A bad part of a request, such as ``tasks[3].a_number``, and why it cannot be taken."""

    field: str
    message: str


class QueuesError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why the request is refused; ``status`` is stable: programs may tell refusals apart by it."""

    message: str
    status: str
    errors: list[QueuesFieldError] = []


class ProblemFieldError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bad part of a request: a JSON Pointer into the body, or the name of a header or parameter."""

    detail: str
    code: str
    pointer: str | None = None
    header: str | None = None
    parameter: str | None = None


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why the request is refused (RFC 9457). ``code`` is stable: programs may tell refusals apart by it."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[ProblemFieldError] = []


ErrorFormatter = Callable[[AnyRequest, ApiError], Response[bytes]]


def to_api_error(error: Exception) -> ApiError:
    """Answer what the error is to a client. What is not known here is a 500 that says nothing more."""
    if isinstance(error, ValidationException):
        return ApiError(422, "invalid", "Validation failed", _framework_faults(error), {})
    if isinstance(error, HTTPException) and error.status_code in _FRAMEWORK_CODES:
        status = error.status_code
        return ApiError(status, _FRAMEWORK_CODES[status], phrase(status), [], dict(error.headers or {}))
    known = next((ERROR_RESPONSES[kind] for kind in type(error).__mro__ if kind in ERROR_RESPONSES), None)
    if known is None:
        return ApiError(500, "internal_server_error", "Internal Server Error", [], {})
    status, code, text = known
    return ApiError(status, code, text or str(error), _faults_of(error), _headers_of(error, status))


def _headers_of(error: Exception, status: int) -> dict[str, str]:
    match error:
        case TooManyRequests(burst=burst, retry_after=seconds, reset=reset):
            standing = {"Limit": str(burst), "Remaining": "0", "Reset": str(ceil(reset))}
            limit_headers = {f"X-RateLimit-{name}": value for name, value in standing.items()}
            return {"Retry-After": str(ceil(seconds)), **limit_headers}
        case StorageUnavailable():
            return {"Retry-After": "1"}
        case RequestTimeout():
            return {"Connection": "close"}
        case _:
            return {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}


def _faults_of(error: Exception) -> list[FieldError]:
    match error:
        case InvalidRequest(faults=faults):
            return list(faults)
        case InvalidFields(faults=faults):
            return [FieldError(("body", fault.field), str(fault), fault.kind) for fault in faults]
        case InvalidField(field=field, kind=kind):
            return [FieldError(("body", field), str(error), kind)]
        case KeyReused():
            message = "This key was used for another request"
            return [FieldError(("header", "Idempotency-Key"), message, error.code)]
        case _:
            return []


def _framework_faults(error: ValidationException) -> list[FieldError]:
    """Answer what the framework found: bad numbers in the path, and that a body is missing."""
    entries = cast("list[dict[str, str]]", error.extra or [])
    paths = [entry for entry in entries if entry.get("key", "data") != "data"]
    return [to_field_error(("path", entry["key"]), entry["message"]) for entry in paths] or [
        FieldError(("body",), "Field required", "missing")
    ]


def exception_handlers(dialect: ErrorFormatter) -> dict[int | type[Exception], Any]:
    """Answer the handlers of a router whose errors are told in the dialect."""

    def handle(request: AnyRequest, error: Exception) -> Response[bytes]:
        problem = to_api_error(error)
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("unexpected error", exc_info=error)
        elif problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            _log.warning("storage away", cause=str(error))
        return dialect(request, problem)

    return {HTTPException: handle, Exception: handle}


def format_tasks_error(_: AnyRequest, problem: ApiError) -> Response[bytes]:
    """Tell it as contract 1 has it: the form of the framework that the source is built on."""
    status, faults = problem.status, problem.faults
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        status, faults = 422, [FieldError(("body",), problem.text, "json_invalid")]
    listed = [TasksFieldError(loc=list(fault.loc), msg=fault.message, type=fault.kind) for fault in faults]
    body = TasksValidationError(detail=listed) if listed else TasksError(detail=problem.text)
    return _response(status, body, problem.headers, "application/json")


def format_queues_error(_: AnyRequest, problem: ApiError) -> Response[bytes]:
    """Tell it as contract 2 has it, with its own word for what went wrong."""
    body = QueuesError(
        message=problem.text,
        status=QUEUE_CODES.get(problem.code, problem.code),
        errors=[QueuesFieldError(field=_dotted(fault.loc), message=fault.message) for fault in problem.faults],
    )
    return _response(problem.status, body, problem.headers, "application/json")


def _dotted(loc: Loc) -> str:
    """Answer a place such as ``tasks[3].a_number``; the body as a whole is ``body``."""
    first, *rest = loc[1:] or loc
    return str(first) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)


def format_problem(request: AnyRequest, problem: ApiError) -> Response[bytes]:
    """Tell it as RFC 9457 has it, with the code, the request id, and for each fault where it is."""
    body = ProblemDetails(
        type="about:blank",
        title=phrase(problem.status),
        status=problem.status,
        detail=problem.text,
        instance=quote(request.scope["path"]),
        code=problem.code,
        request_id=context_of(request).request_id,
        errors=[
            ProblemFieldError(detail=fault.message, code=fault.kind, **_place(fault.loc)) for fault in problem.faults
        ],
    )
    return _response(problem.status, body, problem.headers, "application/problem+json")


def _place(loc: Loc) -> dict[str, str]:
    source, *path = loc
    if source == "body":
        return {"pointer": "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)}
    return {"header" if source == "header" else "parameter": str(path[0])}


def format_error_by_path(request: AnyRequest, problem: ApiError) -> Response[bytes]:
    """Tell it in the dialect of the path: what no route takes (404, 405) reaches no router."""
    path = f"{request.scope['path']}/"
    if path.startswith("/api/tasks/"):
        return format_tasks_error(request, problem)
    of_queues = path.startswith(("/client/", "/api/ver1.0/"))
    return (format_queues_error if of_queues else format_problem)(request, problem)


def _response(status: int, body: msgspec.Struct, headers: dict[str, str], media_type: str) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=media_type)
