"""Error responses: status, code and text of each exception, in the error format of each part of the API."""

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
    Forbidden,
    IdempotencyKeyTaken,
    InvalidFields,
    KeyReused,
    NotFound,
    PreconditionFailed,
    QueueNotFound,
    SecretUnreadable,
    ShareExhausted,
    StorageNeedsAttention,
    StorageUnavailable,
)
from application.tasks import IntakeClosed
from domain.errors import (
    AlreadyDeleted,
    HistoryFull,
    IllegalTransition,
    InvalidField,
    LimitReached,
    MemberNotFound,
    NotWaiting,
    TooManyAttempts,
    UnknownOperator,
    UnknownToken,
)
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.query_params import with_plus_hints
from interfaces.api.web.request_errors import (
    ClientDisconnected,
    ClientNotFound,
    FieldError,
    IfMatchMalformed,
    IfMatchOnCreation,
    InvalidRequest,
    Loc,
    RequestTimeout,
    TooManyRequests,
    Unauthenticated,
    UnsupportedContentCoding,
    UnsupportedMediaType,
    to_field_error,
)

_log = structlog.get_logger("perezvon.api")

ERROR_RESPONSES: dict[type[Exception], tuple[int, str, str]] = {
    IllegalTransition: (409, "illegal_transition", ""),
    TooManyAttempts: (422, "too_many_attempts", "Validation failed"),
    HistoryFull: (422, "history_full", "Validation failed"),
    NotWaiting: (409, "not_waiting", ""),
    AlreadyDeleted: (404, "not_found", "Not found"),
    InvalidField: (422, "invalid", "Validation failed"),
    InvalidFields: (422, "invalid", "Validation failed"),
    LimitReached: (422, "limit_reached", "Validation failed"),
    UnknownToken: (404, "not_found", "Token not found"),
    MemberNotFound: (404, "not_found", "Member not found"),
    UnknownOperator: (404, "not_found", "Operator not found"),
    QueueNotFound: (404, "not_found", "Queue not found"),
    CallbackNotFound: (404, "not_found", "Callback not found"),
    CallNotFound: (404, "not_found", "Call not found"),
    ClientNotFound: (404, "client_not_found", "Client not found: use @me or the number of the token's organisation"),
    NotFound: (404, "not_found", "Not found"),
    ConcurrentUpdate: (409, "concurrent_update", "Another request changed this at the same time; try again"),
    IdempotencyKeyTaken: (
        409,
        "concurrent_update",
        "A request with the same Idempotency-Key is still running; try again",
    ),
    PreconditionFailed: (412, "precondition_failed", ""),
    IfMatchMalformed: (
        412,
        "precondition_failed",
        'If-Match is malformed: send * or the version in quotes, such as "7"',
    ),
    IfMatchOnCreation: (412, "precondition_failed", "If-Match cannot match: a new task has no version yet"),
    KeyReused: (422, "idempotency_key_reused", "Validation failed"),
    ShareExhausted: (
        503,
        "busy",
        "Too many requests of your organisation or address are in progress; try again in a second",
    ),
    StorageNeedsAttention: (
        503,
        "storage_needs_attention",
        "The database does not accept this until an operator of the service has acted; try again later",
    ),
    StorageUnavailable: (503, "storage_away", "The service is temporarily unavailable; try again in a second"),
    SecretUnreadable: (
        503,
        "secret_unreadable",
        "Webhook secrets cannot be encrypted or decrypted: PEREZVON_SECRETS_KEY is not set, or is another key than before",
    ),
    IntakeClosed: (401, "intake_closed", "This organisation accepts tasks only with a token in Authorization: Bearer"),
    InvalidRequest: (422, "invalid", "Validation failed"),
    UnsupportedContentCoding: (415, "unsupported_media_type", ""),
    UnsupportedMediaType: (415, "unsupported_media_type", "The body must be JSON: send Content-Type: application/json"),
    RequestTimeout: (
        408,
        "request_timeout",
        "The request body did not arrive within 30 seconds, or arrived too slowly after the first 10",
    ),
    ClientDisconnected: (400, "client_gone", "The request body is incomplete"),
    Unauthenticated: (401, "unauthenticated", "A valid token is required in Authorization: Bearer"),
    Forbidden: (403, "forbidden", "The token's role does not have the permission for this request"),
    TooManyRequests: (429, "too_many_requests", "Too many requests; wait as long as Retry-After says"),
}
"""Status, code and text of each exception; a subclass has those of its nearest base. An empty text: the exception's own."""


_FRAMEWORK_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
QUEUE_CODES = {
    "forbidden": "access_denied",
    "invalid": "validation_error",
    "limit_reached": "validation_error",
    "idempotency_key_reused": "validation_error",
    "too_many_requests": "rate_limit_exceeded",
}
"""Codes that have another name in ``docs/contracts/task_scheduler.md``."""

_PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}  # Python 3.13 renamed these


def phrase(status: int) -> str:
    """Return the reason phrase of a status (RFC 9110)."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


class ApiError(NamedTuple):
    """An error before it is formatted."""

    status: int
    code: str
    text: str
    field_errors: list[FieldError]
    headers: dict[str, str]


class TasksFieldError(msgspec.Struct, frozen=True, kw_only=True):
    """An invalid part of a request: its location, the reason, and a stable code of the reason."""

    loc: list[str | int]
    msg: str
    type: str


class TasksError(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why the request was refused."""

    detail: str


class TasksValidationError(msgspec.Struct, frozen=True, kw_only=True):
    """The invalid parts of the request."""

    detail: list[TasksFieldError]


class QueuesFieldError(msgspec.Struct, frozen=True, kw_only=True):
    """An invalid part of a request, such as ``tasks[3].a_number``, and the reason."""

    field: str
    message: str


class QueuesError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reason why the request was refused. ``status`` is a stable code for programs."""

    message: str
    status: str
    errors: list[QueuesFieldError] = []


class ProblemFieldError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An invalid part of a request: a JSON Pointer into the body, or the name of a header or parameter."""

    detail: str
    code: str
    pointer: str | None = None
    header: str | None = None
    parameter: str | None = None


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reason why the request was refused (RFC 9457). ``code`` is a stable code for programs."""

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
    """Return status, code, text and headers of an exception. An unknown one is a 500 without any detail."""
    if isinstance(error, ValidationException):
        return ApiError(422, "invalid", "Validation failed", _framework_field_errors(error), {})
    if isinstance(error, HTTPException) and error.status_code in _FRAMEWORK_CODES:
        status = error.status_code
        return ApiError(status, _FRAMEWORK_CODES[status], phrase(status), [], dict(error.headers or {}))
    known = next((ERROR_RESPONSES[kind] for kind in type(error).__mro__ if kind in ERROR_RESPONSES), None)
    if known is None:
        return ApiError(500, "internal_server_error", "Internal Server Error", [], {})
    status, code, text = known
    return ApiError(status, code, text or str(error), _field_errors_of(error), _headers_of(error, status))


def _headers_of(error: Exception, status: int) -> dict[str, str]:
    match error:
        case TooManyRequests(burst=burst, retry_after=seconds, reset=reset):
            return {
                "Retry-After": str(ceil(seconds)),
                "X-RateLimit-Limit": str(burst),
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(ceil(reset)),
            }
        case StorageNeedsAttention():
            return {"Retry-After": "10"}
        case StorageUnavailable() | ShareExhausted():
            return {"Retry-After": "1"}
        case UnsupportedContentCoding():
            return {"Accept-Encoding": "identity"}
        case _:
            return {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}


def _field_errors_of(error: Exception) -> list[FieldError]:
    match error:
        case InvalidRequest(field_errors=field_errors):
            return list(field_errors)
        case InvalidFields(errors=errors):
            return [FieldError(("body", error.field), str(error), error.kind) for error in errors]
        case InvalidField(field=field, kind=kind):
            return [FieldError(("body", field), str(error), kind)]
        case LimitReached():
            return [FieldError(("body",), str(error), error.code)]
        case TooManyAttempts() | HistoryFull():
            return [FieldError(("path", "id"), str(error), error.code)]
        case KeyReused():
            message = "This key was used for a different request within the last 24 hours; send a new key"
            return [FieldError(("header", "Idempotency-Key"), message, error.code)]
        case _:
            return []


def _framework_field_errors(error: ValidationException) -> list[FieldError]:
    """Return what the framework found: bad numbers in the path, or a missing body."""
    entries = cast("list[dict[str, str]]", error.extra or [])
    paths = [entry for entry in entries if entry.get("key", "data") != "data"]
    return [to_field_error(("path", entry["key"]), entry["message"]) for entry in paths] or [
        FieldError(("body",), "Field required", "missing")
    ]


def exception_handlers(format_error: ErrorFormatter) -> dict[int | type[Exception], Any]:
    """Return the exception handlers of a router with that error format."""

    def handle(request: AnyRequest, error: Exception) -> Response[bytes]:
        api_error = to_api_error(error)
        if api_error.field_errors:
            hinted = with_plus_hints(request.scope["query_string"], api_error.field_errors)
            api_error = api_error._replace(field_errors=hinted)
        if api_error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("unexpected error", exc_info=error)
        elif api_error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            _log.warning("service unavailable", code=api_error.code, cause=str(error))
        return format_error(request, api_error)

    return {HTTPException: handle, Exception: handle}


def format_tasks_error(_: AnyRequest, error: ApiError) -> Response[bytes]:
    """Return the error in the format of ``docs/contracts/tasks.md``: that of FastAPI."""
    status, field_errors = error.status, error.field_errors
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        status, field_errors = 422, [FieldError(("body",), error.text, "json_invalid")]
    listed = [TasksFieldError(loc=list(found.loc), msg=found.message, type=found.kind) for found in field_errors]
    body = TasksValidationError(detail=listed) if listed else TasksError(detail=error.text)
    return _response(status, body, error.headers, "application/json")


def format_queues_error(_: AnyRequest, error: ApiError) -> Response[bytes]:
    """Return the error in the format of ``docs/contracts/task_scheduler.md``, with the codes of that contract."""
    body = QueuesError(
        message=error.text,
        status=QUEUE_CODES.get(error.code, error.code),
        errors=[QueuesFieldError(field=_dotted(found.loc), message=found.message) for found in error.field_errors],
    )
    return _response(error.status, body, error.headers, "application/json")


def _dotted(loc: Loc) -> str:
    """Return a location as ``tasks[3].a_number``; the whole body is ``body``."""
    first, *rest = loc[1:] or loc
    return str(first) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)


def format_problem(request: AnyRequest, error: ApiError) -> Response[bytes]:
    """Return the error as problem details (RFC 9457): code, request id, and the place of each field error."""
    body = ProblemDetails(
        type="about:blank",
        title=phrase(error.status),
        status=error.status,
        detail=error.text,
        instance=quote(request.scope["path"]),
        code=error.code,
        request_id=context_of(request).ids.shown,
        errors=[
            ProblemFieldError(detail=found.message, code=found.kind, **_place(found.loc))
            for found in error.field_errors
        ],
    )
    return _response(error.status, body, error.headers, "application/problem+json")


def _place(loc: Loc) -> dict[str, str]:
    source, *path = loc
    if source == "body":
        return {"pointer": "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)}
    return {"header" if source == "header" else "parameter": str(path[0])}


def format_error_by_path(request: AnyRequest, error: ApiError) -> Response[bytes]:
    """Return the error in the format of its path: requests without a route (404, 405) reach no router."""
    path = f"{request.scope['path']}/"
    if path.startswith("/api/tasks/"):
        return format_tasks_error(request, error)
    is_client_path = path.startswith(("/client/", "/api/ver1.0/"))
    return (format_queues_error if is_client_path else format_problem)(request, error)


def _response(status: int, body: msgspec.Struct, headers: dict[str, str], media_type: str) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=media_type)
