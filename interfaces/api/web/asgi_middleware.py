"""The outermost layer: every answer, 404 and 405 too, gets a request id, security headers, a log line and a count."""

import re
from collections import defaultdict
from time import perf_counter
from typing import cast
from uuid import uuid4

import structlog
from litestar import Litestar
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from interfaces.api.web import http_metrics
from interfaces.api.web.context import ApiState, RequestContext

_REQUEST_ID = re.compile(rb"[0-9A-Za-z._:-]{1,128}")
_SECURITY = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_SECURITY_NAMES = frozenset(name for name, _ in _SECURITY)
_METHOD_NOT_ALLOWED = 405

_log = structlog.get_logger("perezvon.http")


class RequestMiddleware:
    """Wraps the application's own ASGI handler; middleware of the framework would not see what no route takes."""

    def __init__(self, app: Litestar, api: ApiState) -> None:
        """Wrap ``app``, whose handlers ask ``api``."""
        self._inner: ASGIApp = app.asgi_handler
        self._api = api
        self._allowed = _allowed(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; HEAD is served as the GET of the path, without its body (RFC 9110 §9.3.2)."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began, method = perf_counter(), scope["method"]
        if method == "HEAD":
            scope = cast("HTTPScope", {**scope, "method": "GET"})
        given = dict(scope["headers"])
        context = RequestContext(self._api, _request_id(given), given)
        scope.setdefault("state", {})["visit"] = context
        clear_contextvars()
        bind_contextvars(request_id=context.request_id)
        status = 500

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._headers(list(message["headers"]), scope, method, status, context)
            elif message["type"] == "http.response.body" and method == "HEAD":
                message["body"] = b""
            await send(message)

        try:
            await self._inner(scope, receive, stamped)
        finally:
            seconds = perf_counter() - began
            template = scope["path_template"] if "path_template" in scope else "unrouted"  # noqa: SIM401 - its get() is badly typed
            http_metrics.count_request(method, template, status, seconds)
            _log.info("request", method=method, route=template, status=status, ms=round(seconds * 1e3, 1))

    def _headers(
        self, headers: list[tuple[bytes, bytes]], scope: HTTPScope, method: str, status: int, context: RequestContext
    ) -> list[tuple[bytes, bytes]]:
        if method == "OPTIONS" and "path_template" in scope:
            headers = _with_allow(headers, self._allowed.get(scope["path_template"]))
        elif status == _METHOD_NOT_ALLOWED:
            headers = _with_allow(headers, None)
        have = {name for name, _ in headers}
        if have.isdisjoint(_SECURITY_NAMES):
            headers.extend(_SECURITY)
        else:
            headers.extend(header for header in _SECURITY if header[0] not in have)
        if context.rate_limit is not None and b"x-ratelimit-limit" not in have:
            headers.append((b"x-ratelimit-limit", b"%d" % context.rate_limit.limit))
            headers.append((b"x-ratelimit-remaining", b"%d" % context.rate_limit.remaining))
            headers.append((b"x-ratelimit-reset", b"%d" % context.rate_limit.reset))
        headers.append((b"x-request-id", context.request_id.encode()))
        return headers


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else uuid4().hex


def _with_allow(headers: list[tuple[bytes, bytes]], allowed: set[str] | None) -> list[tuple[bytes, bytes]]:
    """Answer the headers with ``Allow`` put right: HEAD goes wherever GET does."""
    given = b", ".join(value for name, value in headers if name == b"allow").decode()
    methods = allowed or set(given.split(", "))
    methods = methods | {"HEAD"} if "GET" in methods else methods
    return [*(header for header in headers if header[0] != b"allow"), (b"allow", ", ".join(sorted(methods)).encode())]


def _allowed(app: Litestar) -> dict[str, set[str]]:
    """Answer the methods of each path: the framework's own OPTIONS names one only where handlers share a path."""
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for route in app.routes:
        methods[route.path_format].update(route.methods)
    return dict(methods)
