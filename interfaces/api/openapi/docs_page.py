"""``/docs``: Swagger UI out of this package, and ``/openapi.json``, which it shows. Nothing comes from another host."""

from functools import cache
from importlib.resources import files

import msgspec
from litestar import Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from interfaces.api.openapi.document import document
from interfaces.api.routes.administration import administration_router
from interfaces.api.routes.audit import audit_router
from interfaces.api.routes.call_history import call_history_routers
from interfaces.api.routes.callback_queues import queues_routers
from interfaces.api.routes.health import health_router
from interfaces.api.routes.queue_board import queue_board_router
from interfaces.api.routes.queue_rules import queue_rules_router
from interfaces.api.routes.tasks import tasks_router
from interfaces.api.routes.webhooks import webhooks_router
from interfaces.api.web.error_responses import exception_handlers, format_problem

_MEDIA_TYPES = {
    "docs.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
}
# Swagger UI writes style attributes and draws its icons from data addresses; nothing else widens.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " frame-ancestors 'none'"
)


@get("/openapi.json", include_in_schema=False)
async def openapi_json() -> Response[bytes]:
    """Answer the OpenAPI document."""
    return Response(openapi_document(), media_type="application/json")


@get("/docs", media_type="text/html", include_in_schema=False)
async def docs() -> Response[bytes]:
    """Answer the page that shows the OpenAPI document."""
    return Response(_static("docs.html"), headers={"Content-Security-Policy": _POLICY})


@get("/docs/static/{name:str}", include_in_schema=False)
async def static(name: FromPath[str]) -> Response[bytes]:
    """Answer a file of the page."""
    if name not in _MEDIA_TYPES:
        raise NotFoundException
    return Response(_static(name), media_type=_MEDIA_TYPES[name], headers={"Cache-Control": "public, max-age=3600"})


def docs_router() -> Router:
    """Answer the routes of the documentation; they ask for no token."""
    return Router(
        "/", route_handlers=[openapi_json, docs, static], exception_handlers=exception_handlers(format_problem)
    )


@cache
def openapi_document() -> bytes:
    """Answer the OpenAPI document as JSON; it is made once."""
    return msgspec.json.encode(
        document(
            [
                tasks_router(),
                *queues_routers(),
                *call_history_routers(),
                queue_board_router(),
                queue_rules_router(),
                administration_router(),
                audit_router(),
                webhooks_router(),
                health_router(),
            ]
        )
    )


@cache
def _static(name: str) -> bytes:
    folder = files("interfaces.api.openapi") / "static"
    return (folder / "swagger-ui" / name if name.startswith("swagger-ui") else folder / name).read_bytes()
