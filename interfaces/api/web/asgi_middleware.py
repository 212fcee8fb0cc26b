"""The outermost layer: adds a request id, security headers, a log line and metrics to every response, 404 and 405 too."""

from collections import defaultdict
from time import perf_counter
from typing import cast

import structlog
from litestar import Litestar
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from application.time_budget import end_budget, start_budget
from interfaces.api.web import http_metrics
from interfaces.api.web.context import ApiState, RequestContext
from interfaces.api.web.request_ids import request_ids
from interfaces.config.log_fields import set_log_fields

_SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_SECURITY_HEADER_NAMES = frozenset(name for name, _ in _SECURITY_HEADERS)
_METHOD_NOT_ALLOWED = 405
_REFUSED = frozenset({401, 403, 408, 413, 429, 503})  # logged as warnings

_log = structlog.get_logger("perezvon.http")


class RequestMiddleware:
    """Wraps the application's own ASGI handler: middleware of the framework does not see requests without a route."""

    def __init__(self, app: Litestar, api: ApiState) -> None:
        """Wrap ``app``, whose handlers share ``api``."""
        self._inner: ASGIApp = app.asgi_handler
        self._api = api
        self._methods_by_path = _methods_by_path(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. HEAD is served as GET of the same path, without the body (RFC 9110 §9.3.2)."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started, method = perf_counter(), scope["method"]
        if method == "HEAD":
            scope = cast("HTTPScope", {**scope, "method": "GET"})
        request_headers = dict(scope["headers"])
        context = RequestContext(self._api, request_ids(request_headers.get(b"x-request-id")), request_headers)
        state = scope.setdefault("state", {})
        # The server's own view of the request, if it has one. It holds the scope: left in it, it would make every request a
        # reference cycle, and the garbage collector take a sixth of the CPU.
        exchange = state.pop("exchange", None)
        state["context"] = context
        budget = start_budget()
        context.log_fields["client"] = scope["client"][0] if scope["client"] else None
        set_log_fields(context.log_fields)
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._headers(list(message["headers"]), scope, method, status, context)
                if exchange is not None and exchange.more_body:
                    message["headers"].append((b"connection", b"close"))
            elif message["type"] == "http.response.body" and method == "HEAD":
                message["body"] = b""
            await send(message)

        try:
            await self._inner(scope, receive, send_with_headers)
        finally:
            end_budget(budget)
            if context.body_bytes is not None:
                context.body_bytes.release()
            seconds = perf_counter() - started
            template = scope["path_template"] if "path_template" in scope else "unrouted"  # noqa: SIM401 - its get() is badly typed
            http_metrics.count_request(method, template, status, seconds)
            log = _log.warning if status in _REFUSED else _log.info
            log("request", method=method, route=template, status=status, ms=round(seconds * 1e3, 1))

    def _headers(
        self, headers: list[tuple[bytes, bytes]], scope: HTTPScope, method: str, status: int, context: RequestContext
    ) -> list[tuple[bytes, bytes]]:
        if method == "OPTIONS" and "path_template" in scope:
            headers = _with_allow(headers, self._methods_by_path.get(scope["path_template"]))
        elif status == _METHOD_NOT_ALLOWED:
            headers = _with_allow(headers, None)
        present = {name for name, _ in headers}
        if present.isdisjoint(_SECURITY_HEADER_NAMES):
            headers.extend(_SECURITY_HEADERS)
        else:
            headers.extend(header for header in _SECURITY_HEADERS if header[0] not in present)
        if context.rate_limit is not None and b"x-ratelimit-limit" not in present:
            headers.append((b"x-ratelimit-limit", b"%d" % context.rate_limit.limit))
            headers.append((b"x-ratelimit-remaining", b"%d" % context.rate_limit.remaining))
            headers.append((b"x-ratelimit-reset", b"%d" % context.rate_limit.reset))
        if context.ignored_params:
            headers.append((b"perezvon-ignored", context.ignored_params.encode()))
        headers.append((b"x-request-id", context.ids.shown.encode()))
        if context.ids.are_different:
            headers.append((b"perezvon-correlation", context.ids.recorded.encode()))
        return headers


def _with_allow(headers: list[tuple[bytes, bytes]], methods: set[str] | None) -> list[tuple[bytes, bytes]]:
    """Return the headers with ``Allow`` corrected: every path that takes GET takes HEAD too."""
    given = b", ".join(value for name, value in headers if name == b"allow").decode()
    allowed = methods or set(given.split(", "))
    allowed = allowed | {"HEAD"} if "GET" in allowed else allowed
    return [*(header for header in headers if header[0] != b"allow"), (b"allow", ", ".join(sorted(allowed)).encode())]


def _methods_by_path(app: Litestar) -> dict[str, set[str]]:
    """Return the methods of each path: where handlers share a path, the framework's own OPTIONS names only one."""
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for route in app.routes:
        methods[route.path_format].update(route.methods)
    return dict(methods)
