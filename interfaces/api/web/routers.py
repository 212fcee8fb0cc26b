"""Routers of the three parts of the API, each with authorization and its error format.

A handler states in ``opt`` what ``authorize`` and the OpenAPI document need to know of it:

- ``permission``: the permission that the caller's role must have; without it every request is refused.
- ``token_optional``: True if requests without a token are served too.
- ``is_known``: a coroutine that returns whether such a request is served although its address is over its limit.
- ``checks``: coroutines that run before the body is read, and raise to refuse the request.
- ``query``: the struct of its query parameters and headers (``query_params.decode_params``).
- ``body``: the type of a body that the handler decodes by itself.
- ``errors``: statuses of its errors, besides those of every authorized handler and of every body.
- ``response_headers``: names of headers of its response.
- ``not_modified``: True if it returns 304 on a matching ``If-None-Match``.
- ``other_responses``: descriptions of further statuses that carry the same body.
"""

from collections.abc import Awaitable, Callable

from litestar import Router
from litestar.handlers import HTTPRouteHandler

from interfaces.api.web.authentication import authorize
from interfaces.api.web.context import AnyRequest
from interfaces.api.web.error_responses import (
    ErrorFormatter,
    exception_handlers,
    format_problem,
    format_queues_error,
    format_tasks_error,
)
from interfaces.api.web.json_body import BODY_BYTES_MAX
from interfaces.api.web.path_params import CLIENT_BASE_PATHS, check_integers
from interfaces.api.web.query_params import note_unknown_params, refuse_unknown_params

_V1_BODY_BYTES_MAX = 256 << 10  # no body of /v1 has long texts


def tasks_api_router(*handlers: HTTPRouteHandler) -> Router:
    """Return the router of ``/api/tasks`` (``docs/contracts/tasks.md``)."""
    return _router("/api/tasks", handlers, format_tasks_error, "tasks", _authorize_and_note)


def client_routers(path: str, *handlers: HTTPRouteHandler) -> list[Router]:
    """Return a router of ``path`` under each base path of ``docs/contracts/task_scheduler.md``.

    Only the first one is in the OpenAPI document.
    """
    return [
        _router(
            f"{base}/{{client_id:str}}/{path}",
            handlers,
            format_queues_error,
            "callbacks",
            _authorize_and_note,
            is_documented=base == CLIENT_BASE_PATHS[0],
        )
        for base in CLIENT_BASE_PATHS
    ]


def v1_router(tag: str, *handlers: HTTPRouteHandler) -> Router:
    """Return a router of ``/v1``, whose errors are problem details (RFC 9457). It refuses unknown query parameters."""
    return _router("/v1", handlers, format_problem, tag, _authorize_and_refuse, body_bytes_max=_V1_BODY_BYTES_MAX)


def _router(
    path: str,
    handlers: tuple[HTTPRouteHandler, ...],
    format_error: ErrorFormatter,
    tag: str,
    before_request: Callable[[AnyRequest], Awaitable[None]],
    *,
    is_documented: bool = True,
    body_bytes_max: int = BODY_BYTES_MAX,
) -> Router:
    return Router(
        path,
        route_handlers=handlers,
        before_request=before_request,
        exception_handlers=exception_handlers(format_error),
        include_in_schema=is_documented,
        request_max_body_size=body_bytes_max,
        tags=[tag],
    )


async def _authorize_and_note(request: AnyRequest) -> None:
    await authorize(request)
    await note_unknown_params(request)


async def _authorize_and_refuse(request: AnyRequest) -> None:
    await authorize(request)
    await check_integers(request)
    await refuse_unknown_params(request)
