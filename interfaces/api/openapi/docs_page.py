"""``/docs``: Swagger UI from this package, and ``/openapi.json``, which it shows. Nothing is loaded from another host."""

from functools import cache
from importlib.resources import files

import msgspec
from litestar import Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from interfaces.api.openapi.document import document
from interfaces.api.routes.registry import api_routers
from interfaces.api.web.authentication import charge_public
from interfaces.api.web.context import AnyRequest, context_of
from interfaces.api.web.error_responses import exception_handlers, format_problem

_MEDIA_TYPES = {
    "docs.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
}
# Swagger UI writes style attributes and loads its icons from data URLs. Nothing else is allowed.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " frame-ancestors 'none'"
)


@get("/openapi.json", include_in_schema=False)
async def openapi_json(request: AnyRequest) -> Response[bytes]:
    """Return the OpenAPI document."""
    prefix = context_of(request).api.settings.path_prefix
    return Response(openapi_document(prefix), media_type="application/json")


@get("/docs", media_type="text/html", include_in_schema=False)
async def docs() -> Response[bytes]:
    """Return the page that shows the OpenAPI document."""
    return Response(_static("docs.html"), headers={"Content-Security-Policy": _CONTENT_SECURITY_POLICY})


@get("/docs/static/{name:str}", include_in_schema=False)
async def static(name: FromPath[str]) -> Response[bytes]:
    """Return a file of the page."""
    if name not in _MEDIA_TYPES:
        raise NotFoundException
    return Response(_static(name), media_type=_MEDIA_TYPES[name], headers={"Cache-Control": "public, max-age=3600"})


def docs_router() -> Router:
    """Return the router of the documentation, which needs no token."""
    return Router(
        "/",
        route_handlers=[openapi_json, docs, static],
        before_request=_charge,
        exception_handlers=exception_handlers(format_problem),
    )


async def _charge(request: AnyRequest) -> None:
    charge_public(request)


@cache
def openapi_document(prefix: str = "") -> bytes:
    """Return the OpenAPI document as JSON, for an API under the path ``prefix``. It is built once."""
    return msgspec.json.encode(document(api_routers(), prefix))


@cache
def _static(name: str) -> bytes:
    folder = files("interfaces.api.openapi") / "static"
    return (folder / "swagger-ui" / name if name.startswith("swagger-ui") else folder / name).read_bytes()
